"""Schedules against values worked out by hand, optimizers against their formulas in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.training.optimizer import learning_rate, optimizer

TRAINING: dict[str, Any] = {
    "steps": 8,
    "optimizer": "sgd",
    "lr": 0.4,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "betas": [0.9, 0.999],
    "schedule": "constant",
    "warmup_steps": 0,
    "milestones": [0.5, 0.75],
    "decay": 0.1,
}


def rates(**training: Any) -> list[float]:
    full = TRAINING | training
    return [learning_rate(full, step) for step in range(full["steps"])]


def test_constant() -> None:
    assert rates() == [0.4] * 8


def test_cosine_falls_from_lr_towards_zero() -> None:
    assert rates(schedule="cosine", steps=4) == pytest.approx(
        [0.4, 0.2 * (1 + math.sqrt(0.5)), 0.2, 0.2 * (1 - math.sqrt(0.5))]
    )


def test_step_schedule_decays_at_each_milestone() -> None:
    assert rates(schedule="step") == pytest.approx([0.4] * 4 + [0.04] * 2 + [0.004] * 2)


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_milestone_is_met_at_its_very_step(percent: int) -> None:
    """0.55 · 100 is 55.000000000000007 in floating point."""
    found = rates(schedule="step", steps=100, milestones=[percent / 100], decay=0.5)
    assert found == [0.4] * percent + [0.2] * (100 - percent)


def test_a_milestone_between_two_steps_is_met_after_it() -> None:
    found = rates(schedule="step", steps=5, milestones=[0.5], decay=0.5)
    assert found == pytest.approx([0.4] * 3 + [0.2] * 2)


def test_warmup_is_linear_and_multiplies_the_schedule() -> None:
    assert rates(warmup_steps=4) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4])
    assert rates(warmup_steps=16) == pytest.approx([0.025 * (t + 1) for t in range(8)])
    both = rates(warmup_steps=6, schedule="step", milestones=[0.5])
    warm = [0.4 * share / 6 for share in (1, 2, 3, 4)]
    assert both == pytest.approx([*warm, 0.04 * 5 / 6, 0.04, 0.04, 0.04])


GRADIENTS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
START = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def descend(**training: Any) -> list[float]:
    """Where given gradients move three parameters, in the cell's optimizer."""
    module = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    module.weight.data = START[None].clone()
    full = TRAINING | training
    moved = optimizer(module, full)
    for step, gradient in enumerate(GRADIENTS):
        for group in moved.param_groups:
            group["lr"] = learning_rate(full, step)
        module.weight.grad = gradient[None].clone()
        moved.step()
    return module.weight[0].tolist()


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.1), (0.9, 0.1)])
def test_sgd(momentum: float, decay: float) -> None:
    """v ← m·v + (g + λθ); θ ← θ − η_t·v."""
    options = {"momentum": momentum, "weight_decay": decay, "schedule": "cosine"}
    theta, velocity = START.clone(), torch.zeros(3, dtype=torch.float64)
    for step, gradient in enumerate(GRADIENTS):
        velocity = momentum * velocity + gradient + decay * theta
        theta = theta - learning_rate(TRAINING | options, step) * velocity
    assert descend(**options) == pytest.approx(theta.tolist(), rel=1e-12)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam(name: str, decay: float) -> None:
    """Kingma and Ba, 2015, algorithm 1; decay in the gradient, or apart from it (AdamW, 2019)."""
    options = {"optimizer": name, "weight_decay": decay, "betas": [0.8, 0.99], "warmup_steps": 3}
    theta = START.clone()
    first = second = torch.zeros(3, dtype=torch.float64)
    for step, given in enumerate(GRADIENTS):
        rate = learning_rate(TRAINING | options, step)
        gradient = given + decay * theta if name == "adam" else given
        if name == "adamw":
            theta = theta - rate * decay * theta
        first = 0.8 * first + 0.2 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        mean, square = first / (1 - 0.8 ** (step + 1)), second / (1 - 0.99 ** (step + 1))
        theta = theta - rate * mean / (square.sqrt() + 1e-8)
    assert descend(**options) == pytest.approx(theta.tolist(), rel=1e-12)


def test_decay_acts_on_all_parameters_alike() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    moved = optimizer(module, TRAINING | {"weight_decay": 0.5, "lr": 1.0})
    before = [parameter.detach().clone() for parameter in module.parameters()]
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    moved.step()
    for old, new in zip(before, module.parameters(), strict=True):
        assert torch.equal(new.detach(), old / 2)
