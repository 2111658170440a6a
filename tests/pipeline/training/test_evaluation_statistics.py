"""What evaluation normalizes by: exact means where running averages are none, and no trace."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from pipeline.catalog import registry as catalog
from pipeline.data import Dataset
from pipeline.data._objective import objective
from pipeline.normalizers._ops.batch_norm import BatchNorm
from pipeline.probes._view import Records, View, set_noise
from pipeline.training.batches import Batches
from pipeline.training.evaluation import evaluate
from pipeline.training.evaluation_statistics import EvaluationStatistics
from pipeline.training.loop import _Loop, train
from tests.helpers.reference.exact_means import exact_copy
from tests.helpers.stores.cells import IMAGES, cell, parts_of
from tests.helpers.training.fixtures import (
    DEVICES,
    OPTIONS,
    assert_same,
    configurations,
    dataset,
    loop_of,
    network_of,
    probe_settings,
    settings,
)
from tests.pipeline.training.test_no_trace import state_of

LATE = 1000
"""Steps after which no running average holds its start."""
WITH_NOISE = {
    name: [{"name": name, **OPTIONS.get(name, {})}, {"name": "noise"}]
    for name in catalog.parts("normalizers")
    if name not in ("noise", "noisy_batch", "evonorm_b0", "evonorm_s0")
}


def statistics_of(
    config: list[Any], data: Dataset | None = None, batch_size: int | None = 12
) -> tuple[Any, EvaluationStatistics, Batches]:
    """A network after one training step, and the statistics of its evaluations."""
    data = data or dataset()
    network = network_of(config)
    batches = Batches(data, batch_size=batch_size, augment=["crop", "flip"], seed=3)
    set_noise(network, 3, 0)
    with torch.no_grad():
        network(batches.at(0).inputs)
    return network, EvaluationStatistics(network, batches), batches


def layers_of(network: nn.Module) -> list[BatchNorm]:
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


@pytest.mark.parametrize(("name", "steps"), [("noisy_batch", LATE), ("batch", 3)])
@pytest.mark.parametrize("batch_size", [12, None])
def test_exact_means_are_those_of_the_first_batches_without_noise(
    name: str, steps: int, batch_size: int | None
) -> None:
    network, statistics, batches = statistics_of([name], batch_size=batch_size)
    network.double()
    statistics = EvaluationStatistics(network, cast(Batches, _Doubled(batches)))
    shown = [batches.at(step).inputs.double() for step in range(batches.steps_per_epoch)]
    twin = exact_copy(network, shown)
    with statistics.after(steps):
        for found, expected in zip(layers_of(network), layers_of(twin), strict=True):
            torch.testing.assert_close(found.running_mean, expected.running_mean)
            torch.testing.assert_close(found.running_var, expected.running_var)
        torch.testing.assert_close(network.eval()(shown[0]), twin(shown[0]))


class _Doubled:
    """Batches in float64."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self.steps_per_epoch = batches, batches.steps_per_epoch

    def at(self, step: int) -> Any:
        batch = self.batches.at(step)
        return batch._replace(inputs=batch.inputs.double())


def test_exact_means_are_those_at_the_given_parameters() -> None:
    network, statistics, batches = statistics_of(["batch"])
    other = {name: 1.5 * p.detach() + 0.1 for name, p in network.named_parameters()}
    twin = copy.deepcopy(network)
    twin.load_state_dict(other, strict=False)
    twin = exact_copy(twin, [batches.at(step).inputs for step in range(3)])
    with statistics.after(1, other):
        for found, expected in zip(layers_of(network), layers_of(twin), strict=True):
            torch.testing.assert_close(found.running_var, expected.running_var)


def test_whole_batches_of_no_more_than_so_many_samples_and_at_least_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sizes(samples: int) -> list[int]:
        monkeypatch.setattr("pipeline.training.evaluation_statistics.SAMPLES", samples)
        _, statistics, _ = statistics_of(["batch"])
        return [len(inputs) for inputs in statistics._inputs()]

    assert [sizes(samples) for samples in (1, 12, 35, 36, 4096)] == [
        [12],
        [12],
        [12, 12],
        [12, 12, 12],
        [12, 12, 12],
    ]


def test_running_averages_are_used_where_they_estimate_what_was_trained() -> None:
    """0.9^43 > 0.01 > 0.9^44; noise is never in the function that is evaluated."""
    found = {}
    for name, config in configurations().items():
        _, statistics, _ = statistics_of(config)
        steps = (step for step in range(LATE) if not statistics.are_exact(step))
        found[name] = next(steps, None)
    exact = {name: first for name, first in found.items() if first != 0}
    batch_family = dict.fromkeys(exact.keys() - {"noisy_batch"}, 44)
    special = {"noisy_batch": None, "batch_renorm": 459, "moving_average_batch": 228}
    assert exact == batch_family | special
    assert {"batch", "ghost_batch", "l1", "power_norm", "switchable", "mean_only"} < exact.keys()
    assert not {"none", "noise", "layer", "weight_norm", "spectral_norm"} & exact.keys()


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_an_average_that_never_moves_is_never_used(momentum: float) -> None:
    _, statistics, _ = statistics_of([{"name": "batch", "momentum": momentum}])
    assert [statistics.are_exact(step) for step in (0, 1, LATE)] == [
        True,
        momentum == 0,
        momentum == 0,
    ]


@pytest.mark.parametrize("name", WITH_NOISE)
def test_whatever_averages_batches_under_noise_is_evaluated_by_exact_means(name: str) -> None:
    network, statistics, _ = statistics_of(WITH_NOISE[name])
    averages = any(hasattr(module, "exact_batches") for module in network.modules())
    assert statistics.are_exact(LATE) == averages
    before = copy.deepcopy(network.state_dict())
    with statistics.after(LATE):
        after = network.state_dict()
        moved = {key for key in after if not torch.equal(after[key], before[key])}
        assert bool(moved) == averages
        assert all(".running_" in key for key in moved)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("config", [*configurations().values(), *WITH_NOISE.values()])
def test_an_evaluation_leaves_no_trace(
    config: list[Any], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training is bitwise the same with all its evaluations and with none but the last."""

    def end(every: int) -> dict[str, Any]:
        torch.manual_seed(11)
        given = settings({}, config, evaluate_every=every, augment=["crop"])
        loop = loop_of(given, dataset(device), network_of(config, device))
        loop.run()
        state = state_of(loop)
        del state["evaluations"]
        return state

    often = end(1)
    monkeypatch.setattr(_Loop, "_evaluate", lambda *_: None)
    monkeypatch.setattr("pipeline.training.loop._finite", lambda _: True)
    monkeypatch.setattr(
        _Loop, "_is_over", lambda loop, done: done == 3 and (loop._check_divergence() or True)
    )
    assert_same(often, end(1))


def test_what_was_not_finite_leaves_an_exact_mean() -> None:
    network, statistics, _ = statistics_of(["batch"])
    for layer in layers_of(network):
        cast(Tensor, layer.running_var).fill_(torch.inf)
    with statistics.after(1):
        for layer in layers_of(network):
            assert cast(Tensor, layer.running_var).isfinite().all()


def test_an_error_within_leaves_the_buffers_as_they_were() -> None:
    network, statistics, _ = statistics_of(["noisy_batch"])
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ZeroDivisionError), statistics.after(LATE):
        raise ZeroDivisionError
    assert_same(before, network.state_dict())
    assert {layer.exact_batches for layer in layers_of(network)} == {None}


@pytest.mark.slow
def test_a_noisy_network_is_evaluated_as_well_as_it_was_trained() -> None:
    """By the averages that training gathered under noise, its accuracy is that of a bad network."""
    trained = cell({**IMAGES, "normalizer": "noisy_batch"}, steps=120, batch_size=64, lr=0.1)
    dataset, network = parts_of(trained)
    outcome = train(trained.settings, dataset, network)
    last = outcome.evaluations[-1]
    _, gathered = evaluate(network, dataset, "train", None)
    assert gathered is not None
    assert last["eval_train_accuracy"] > 0.9 > gathered + 0.02
    assert last["eval_train_loss"] < sum(outcome.curve["train_loss"][-10:]) / 10


def test_probes_in_evaluation_mode_see_the_function_that_is_evaluated() -> None:
    """At θ_t, with exact means at θ_t; and so at θ_0."""
    given = settings({"moment_ics": probe_settings("moment_ics", mode="eval")}, ["noisy_batch"])
    data, network = dataset(), network_of(["noisy_batch"])
    loop = loop_of(given, data, network)
    shown = [loop.batches.at(step).inputs for step in range(3)]
    seen: list[tuple[Tensor, Tensor]] = []

    def probe(view: View) -> Records:
        start = view.initial | view.initial_buffers
        for params, at in ((view.before, view.before), (start, view.initial)):
            twin = copy.deepcopy(network)
            twin.load_state_dict(at, strict=False)
            outputs = exact_copy(twin, shown)(view.probe_batch.inputs)
            expected = objective(network.task, outputs, view.probe_batch.targets)
            seen.append((view.loss(params, view.probe_batch), expected))
        return {"value": [0.0]}

    loop.observer._functions["moment_ics"] = (probe, {})
    loop.run()
    assert len(seen) == 6
    for found, expected in seen:
        torch.testing.assert_close(found, expected)
