"""The loop against a slow float64 twin; where it ends, and what it then records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.data import Dataset
from pipeline.data._objective import objective
from pipeline.spec.read import Cell
from pipeline.training import loop as training
from pipeline.training import step as steps
from pipeline.training.batches import Batches
from pipeline.training.loop import train
from pipeline.training.optimizer import learning_rate, optimizer
from pipeline.training.outcome import Outcome
from tests.helpers.reference.exact_means import exact_copy
from tests.helpers.stores.cells import IMAGES, REGRESSION, cell, parts_of, run

EVERYTHING = {"momentum": 0.9, "weight_decay": 0.01, "schedule": "cosine", "warmup_steps": 3}


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets.double()) ** 2).sum()


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    right = outputs.gather(1, targets[:, None])[:, 0]
    return (outputs.exp().sum(1).log() - right).mean()


def batches_of(cell: Cell, dataset: Dataset) -> Batches:
    options = cell.settings["training"]
    return Batches(
        dataset,
        batch_size=options["batch_size"],
        augment=options["augment"],
        seed=cell.settings["seed"],
    )


def twin(cell: Cell, loss_of: Callable[[Tensor, Tensor], Tensor]) -> dict[str, list[Any]]:
    """Losses, evaluations and accuracies of SGD written out in float64."""
    options = cell.settings["training"]
    dataset, network = parts_of(cell)
    network.double()
    batches = batches_of(cell, dataset)
    parameters = list(network.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    found: dict[str, list[Any]] = {"loss": [], "accuracy": [], "evaluations": []}

    def evaluated() -> float:
        """So early by exact statistics: those of the first epoch's batches."""
        shown = [batches.at(step).inputs.double() for step in range(batches.steps_per_epoch)]
        with torch.no_grad():
            tested = exact_copy(network, shown)
            outputs = tested(dataset.standardize(dataset.test.inputs).double())
            value = loss_of(outputs, dataset.test.targets)
        return float(value) / (1 if loss_of is cross_entropy else len(dataset.test.targets))

    for step in range(options["steps"]):
        if step % options["evaluate_every"] == 0:
            found["evaluations"].append((step, evaluated()))
        batch = batches.at(step)
        outputs = network(batch.inputs.double())
        loss = loss_of(outputs, batch.targets)
        found["loss"].append(loss.item())
        if loss_of is cross_entropy:
            hits = (outputs.argmax(1) == batch.targets).tolist()
            found["accuracy"].append(sum(hits) / len(hits))
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
            gradient = gradient + options["weight_decay"] * parameter.detach()
            velocity.mul_(options["momentum"]).add_(gradient)
            parameter.data -= learning_rate(options, step) * velocity
    found["evaluations"].append((options["steps"], evaluated()))
    return found


def test_classification_against_the_twin() -> None:
    """Row t holds loss and accuracy at θ_t, before the update t → t + 1; evaluations too."""
    images = cell(
        IMAGES, steps=7, lr=0.05, evaluate_every=3, augment=["crop", "flip"], **EVERYTHING
    )
    outcome, slow = run(images), twin(images, cross_entropy)
    assert outcome.diverged_step is None
    assert outcome.curve["step"] == list(range(7))
    assert outcome.curve["lr"] == [learning_rate(images.settings["training"], t) for t in range(7)]
    assert outcome.curve["train_loss"] == pytest.approx(slow["loss"], rel=1e-4)
    assert outcome.curve["train_accuracy"] == slow["accuracy"]
    assert [row["step"] for row in outcome.evaluations] == [0, 3, 6, 7]
    found = [(row["step"], row["test_loss"]) for row in outcome.evaluations]
    assert [value for _, value in found] == pytest.approx(
        [value for _, value in slow["evaluations"]], rel=1e-4
    )


@pytest.mark.parametrize("batch_size", [16, None])
def test_regression_against_the_twin(batch_size: int | None) -> None:
    linear = cell(REGRESSION, steps=6, batch_size=batch_size, evaluate_every=6, **EVERYTHING)
    outcome, slow = run(linear), twin(linear, squared)
    assert outcome.curve["train_loss"] == pytest.approx(slow["loss"], rel=1e-4)
    assert outcome.curve["train_accuracy"] == [None] * 6
    assert [row["test_loss"] for row in outcome.evaluations] == pytest.approx(
        [value for _, value in slow["evaluations"]], rel=1e-4
    )
    for row in outcome.evaluations:
        assert row["test_accuracy"] is row["validation_accuracy"] is None


def test_evaluations_before_the_last_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int | None]] = []

    def evaluate(network: Any, dataset: Any, name: str, limit: int | None) -> tuple[float, float]:
        asked.append((name, limit))
        return 1.0, 0.5

    monkeypatch.setattr(training, "evaluate", evaluate)
    small = cell(REGRESSION, steps=4, evaluate_every=2, evaluate_samples=10)
    dataset, _ = parts_of(small)
    larger = max(len(dataset.validation.targets), len(dataset.test.targets))
    run(small)
    limits = [10] * 6 + [larger, None, None]
    assert asked == list(zip(["train", "validation", "test"] * 3, limits, strict=True))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and the 64 training samples"):
        run(cell(REGRESSION, batch_size=65))


def test_normalizers_of_one_seed_are_paired() -> None:
    """The same first weights, and the same batches in the same order; other seeds, others."""

    def seen(normalizer: str, seed: int) -> list[Tensor]:
        shown: list[Tensor] = []
        config = cell({**IMAGES, "normalizer": normalizer}, seed=seed, augment=["flip"])
        dataset, network = parts_of(config)
        first = network.weight_layers()[0].module
        shown.append(torch.as_tensor(first.weight).detach().clone())
        network.register_forward_pre_hook(
            lambda module, inputs: shown.append(inputs[0]) if torch.is_grad_enabled() else None
        )
        train(config.settings, dataset, network)
        assert len(shown) == 6
        return shown

    reference = seen("none", 0)
    for normalizer in ("batch", "noisy_batch", "layer"):
        other = seen(normalizer, 0)
        assert all(torch.equal(a, b) for a, b in zip(reference, other, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(reference, seen("none", 1), strict=True))


# Divergence ---------------------------------------------------------------------------------------

PROBES = {"gradient_ics": {"every": 7}}


def losses_without_an_end(cell: Cell) -> list[float]:
    """The batch losses of all steps, however they grow."""
    dataset, network = parts_of(cell)
    options, batches = cell.settings["training"], batches_of(cell, dataset)
    moved = optimizer(network, options)
    losses = []
    for step in range(options["steps"]):
        for group in moved.param_groups:
            group["lr"] = learning_rate(options, step)
        batch = batches.at(step)
        loss = objective(dataset.task, network(batch.inputs), batch.targets)
        moved.zero_grad()
        loss.backward()
        moved.step()
        losses.append(loss.item())
    return losses


def nothing_is_recorded_after(step: int, outcome: Outcome) -> None:
    assert outcome.curve["step"] == list(range(step + 1))
    assert {len(column) for column in outcome.curve.values()} == {step + 1}
    assert [row["step"] for row in outcome.evaluations] == list(range(0, step + 1, 2))
    recorded = [block["step"][0] for block in outcome.probes["gradient_ics"]]
    assert recorded == list(range(0, step + 1, 7))


@pytest.mark.parametrize(("lr", "divergence_factor"), [(0.02, 100.0), (0.02, 1e300), (1e20, 1e300)])
def test_a_huge_learning_rate_diverges(lr: float, divergence_factor: float) -> None:
    growing = cell(
        REGRESSION,
        lr=lr,
        divergence_factor=divergence_factor,
        steps=120,
        warmup_steps=90,
        probes=PROBES,
    )
    losses = losses_without_an_end(growing)
    bad = [not math.isfinite(x) or x > divergence_factor * losses[0] for x in losses]
    expected = bad.index(True)
    outcome = run(growing)
    assert outcome.diverged_step == expected
    assert outcome.curve["train_loss"] == pytest.approx(losses[: expected + 1], nan_ok=True)
    assert math.isfinite(outcome.curve["train_loss"][-1]) == (divergence_factor == 100.0)
    nothing_is_recorded_after(expected, outcome)


LATE = [1, 23, 48, 49, 50, 51, 99, 100, 118, 119]


# At step 0 a finite loss cannot be too large: it is the measure of the others.
@pytest.mark.parametrize(
    ("step", "value"),
    [(0, math.nan), (0, math.inf), *itertools.product(LATE, [math.nan, math.inf, 100.5])],
)
def test_the_very_step_of_a_divergence_found_late(
    step: int, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(10**6))

    def given(*arguments: Any) -> Tensor:
        """1 at first, the limit itself from then on, the given value at the step."""
        loss = objective(*arguments)
        call = next(calls)
        wanted = value if call == step else 1.0 if call == 0 else 100.0
        return loss + (wanted - loss.detach())

    monkeypatch.setattr(steps, "objective", given)
    outcome = run(cell(REGRESSION, steps=120, lr=1e-6, probes=PROBES))
    assert outcome.diverged_step == step
    nothing_is_recorded_after(step, outcome)
    assert outcome.curve["train_loss"][-1] == pytest.approx(value, nan_ok=True)


def test_the_first_divergence_counts_though_the_loss_recovers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = iter(range(10**6))

    def given(*arguments: Any) -> Tensor:
        loss = objective(*arguments)
        return loss + ({3: 1e6, 5: math.nan}.get(next(calls), 1.0) - loss.detach())

    monkeypatch.setattr(steps, "objective", given)
    assert run(cell(REGRESSION, steps=60)).diverged_step == 3


def test_divergence_at_the_very_last_update() -> None:
    """Only the evaluation of the trained network can tell."""
    outcome = run(cell(REGRESSION, steps=1, lr=1e30))
    assert outcome.diverged_step == 1
    assert len(outcome.curve["train_loss"]) == 1
    assert math.isfinite(outcome.curve["train_loss"][0])
    assert [row["step"] for row in outcome.evaluations] == [0, 1]
    assert not math.isfinite(outcome.evaluations[-1]["test_loss"])


def test_no_divergence_where_nothing_can_be_evaluated() -> None:
    dataset, network = parts_of(cell(REGRESSION))
    none = dataset.test._replace(inputs=dataset.test.inputs[:0], targets=dataset.test.targets[:0])
    outcome = train(
        cell(REGRESSION).settings, replace(dataset, validation=none, test=none), network
    )
    assert outcome.diverged_step is None
    assert outcome.evaluations[-1]["test_loss"] is None


def test_a_probe_due_only_after_the_divergence_has_no_records() -> None:
    outcome = run(cell(REGRESSION, lr=1e10, steps=60, probes={"gradient_ics": {"at": [40]}}))
    assert outcome.diverged_step is not None
    assert outcome.probes == {}


def test_steps_taken_count_those_after_a_divergence() -> None:
    outcome = run(cell(REGRESSION, lr=1e10, steps=60))
    assert len(outcome.curve["step"]) < 50 == outcome.steps_taken
    assert run(cell(REGRESSION, steps=7)).steps_taken == 7
