"""What a probe is shown: the right step, function, batch and mode."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.catalog import registry as catalog
from pipeline.data._objective import objective
from pipeline.probes._vectors import as_leaves, parameters
from pipeline.probes._view import Records, View, preserve_state, set_noise
from pipeline.probes.gradient_ics import gradient_ics
from pipeline.training.batches import augmentation_draws, augmented, probe_batch
from pipeline.training.loop import train
from tests.helpers.training.fixtures import (
    OPTIONS,
    PROBES,
    assert_same,
    dataset,
    loop_of,
    network_of,
    probe_settings,
    settings,
    views_of,
)
from tests.helpers.training.views import normalizer

PAST_WARMUP: dict[str, dict[str, Any]] = {
    "batch_renorm": {"relax_from": 0, "r_max_at": 1, "d_max_at": 1},
    "moving_average_batch": {"window": 2, "warmup": 0, "r_from": 0},
    "power_norm": {"warmup": 0},
}
"""Options with which a normalizer's forward depends on its past from the first steps on."""


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("norm", ["noisy_batch", "weight_norm"])
def test_view_is_of_one_step(norm: str, optimizer: str):
    """Weight decay and momentum are in the update, and not in the gradient."""
    network = network_of([norm])
    start = parameters(network)
    views = views_of(network, ["moment_ics"], optimizer=optimizer)["moment_ics"]
    assert [view.step for view in views] == [0, 1, 2]
    for earlier, later in pairwise(views):
        assert_same(earlier.after, later.before)
        assert_same(earlier.initial, start)
        assert earlier.lr > later.lr > 0
    assert_same(views[0].before, start)
    assert_same(views[-1].after, parameters(network))
    last = views[-1]
    set_noise(network, last.seed, last.step)
    leaves = as_leaves(last.before)
    with preserve_state(network):
        loss = last.loss(leaves, last.batch)
    gradient = torch.autograd.grad(loss, list(leaves.values()))
    assert torch.equal(loss, last.loss_value)
    assert_same(last.grad, dict(zip(leaves, gradient, strict=True)))


@pytest.mark.parametrize("name", catalog.parts("normalizers"))
def test_probes_see_the_function_that_was_trained(name: str):
    """Also where the step has moved what its own forward depended on, such as running averages."""
    network = network_of([{"name": name, **OPTIONS.get(name, {}), **PAST_WARMUP.get(name, {})}])
    loop = loop_of(settings({"gradient_ics": PROBES["gradient_ics"]}), dataset(), network)
    losses: list[Tensor] = []

    def probe(view: View) -> Records:
        losses.append(view.loss(view.before, view.batch))
        assert torch.equal(losses[-1], view.loss_value)
        return gradient_ics(replace(view, after=view.before))

    loop.observer._functions["gradient_ics"] = (probe, {})
    loop.run()
    for block in loop.outcome.probes["gradient_ics"]:
        assert block["l2"] == [0] * len(block["l2"])
    assert len(losses) == 3


def test_probe_batch_is_fixed_and_small_enough():
    data = dataset()
    views = views_of(network_of(["batch"]), ["moment_ics"])["moment_ics"]
    expected = probe_batch(data, 40)
    assert all(torch.equal(view.probe_batch.inputs, expected.inputs) for view in views)
    assert len({id(view.batch.inputs) for view in views}) == 3


def test_full_batch():
    views = views_of(network_of(["batch"]), ["moment_ics"], batch_size=None)["moment_ics"]
    assert all(len(view.batch.targets) == 40 for view in views)


def test_generators_and_memories_are_each_probes_own():
    def run() -> dict[str, list[View]]:
        return views_of(network_of(["none"]), ["moment_ics", "landscape"])

    first, again = run(), run()
    seeds = [v.rng.initial_seed() for views in first.values() for v in views]
    assert len(set(seeds)) == 6
    assert seeds == [v.rng.initial_seed() for views in again.values() for v in views]
    assert all(views[-1].memory == {"calls": 3} for views in first.values())


def test_batch_size_of_the_probe_batch():
    sizes = {"moment_ics": {"batch_size": 20}, "gradient_ics": {"batch_size": 21}}
    shown = views_of(network_of(["none"]), list(sizes), sizes)
    small, large = shown["moment_ics"][0], shown["gradient_ics"][0]
    assert (len(small.probe_batch.targets), len(large.probe_batch.targets)) == (20, 21)
    assert torch.equal(small.probe_batch.inputs, large.probe_batch.inputs[:20])
    assert small.second_probe_batch is not None
    assert torch.equal(small.second_probe_batch.inputs, probe_batch(dataset(), 40).inputs[20:])
    assert large.second_probe_batch is None
    with pytest.raises(ValueError, match="between 1 and 40 samples"):
        views_of(network_of(["none"]), ["moment_ics"], {"moment_ics": {"batch_size": 41}})


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("norm", catalog.parts("normalizers"))
def test_loss_and_gradient_are_those_of_the_mode_and_batch_asked_for(norm: str, mode: str):
    """Of a copy of the network, put into that mode by hand."""
    config = {"name": norm, **OPTIONS.get(norm, {})}
    asked = {"moment_ics": probe_settings("moment_ics", mode=mode, batch="probe")}
    loop = loop_of(settings(asked, [config], steps=2), dataset(), network_of([config]))
    calls: list[View] = []

    def probe(view: View) -> Records:
        calls.append(view)
        assert (view.mode, view.batch) == (mode, view.probe_batch)
        assert view.traits == normalizer([config]).traits
        twin = copy.deepcopy(view.network).train(mode == "train")
        twin.load_state_dict(view.before, strict=False)
        loss = objective(twin.task, twin(view.batch.inputs), view.batch.targets)
        loss.backward()
        assert torch.equal(loss, view.loss_value)
        assert_same({n: p.grad for n, p in twin.named_parameters()}, dict(view.grad))
        return {"value": [0.0]}

    loop.observer._functions["moment_ics"] = (probe, {})
    loop.run()
    assert len(calls) == 2


def test_evaluation_mode_uses_running_statistics_and_no_noise():
    """The outputs of a probe's function are those that an evaluation at that moment has."""
    network = network_of(["noisy_batch"])
    loop = loop_of(
        settings({"moment_ics": probe_settings("moment_ics", mode="eval")}), dataset(), network
    )
    seen: list[Tensor] = []

    def probe(view: View) -> Records:
        seen.append(view.loss(view.after, view.probe_batch))
        with torch.no_grad():
            network.eval()
            outputs = network(view.probe_batch.inputs)
        assert torch.equal(objective(network.task, outputs, view.probe_batch.targets), seen[-1])
        return {"value": [0.0]}

    loop.observer._functions["moment_ics"] = (probe, {})
    loop.run()
    assert len(seen) == 3


def test_probes_that_see_the_same_share_and_others_do_not():
    asked = {"gradient_ics": {}, "moment_ics": {}, "landscape": {"mode": "eval"}}
    shown = views_of(network_of(["batch"]), list(asked), asked)
    for own, same, other in zip(*shown.values(), strict=True):
        assert own.shared is same.shared
        assert own.shared is not other.shared
    assert shown["gradient_ics"][0].shared is not shown["gradient_ics"][1].shared


def test_drawn_batches_are_the_generators_and_augmented_as_the_steps():
    asked = {"gradient_ics": {}, "moment_ics": {"batch": "probe"}}
    own, fixed = (
        views[0]
        for views in views_of(
            network_of(["none"]), list(asked), asked, augment=["crop", "flip"]
        ).values()
    )
    data = dataset()
    for view, augment in ((own, ("crop", "flip")), (fixed, ())):
        found = view.sample_batch(9)
        rng = torch.Generator().manual_seed(view.rng.initial_seed())
        index = torch.randperm(40, generator=rng)[:9]
        draws = augmentation_draws(augment, (1, 8, 8), 9, rng)
        expected = augmented(data.batch(data.train, index), augment, [*draws])
        assert torch.equal(found.inputs, expected.inputs)
        assert torch.equal(found.targets, expected.targets)
        assert not torch.equal(view.sample_batch(9).targets, found.targets)


def test_a_parameter_without_a_gradient_has_gradient_zero():
    network = network_of(["none"])
    network.get_submodule("stem").register_parameter("unused", nn.Parameter(torch.ones(2)))
    shown = views_of(network, ["moment_ics"])["moment_ics"]
    assert shown[0].grad["stem.unused"].tolist() == [0, 0]
    outcome = train(settings(PROBES), dataset(), network)
    assert all(value > 0 for value in outcome.probes["gradient_ics"][0]["gradient_norm"])
