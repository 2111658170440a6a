from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.parts.normalizer_blocks import inputs, make, stop_tracking


def layer(weight: Tensor, **options: int) -> Any:
    made = (
        make("spectral_norm", **options)
        .weight(nn.Linear(weight.shape[1], weight.shape[0]))
        .double()
    )
    setattr(made, "weight", weight)  # noqa: B010  (a parametrized attribute)
    return made


def with_gap(seed: int) -> Tensor:
    """4x5, singular values 3, 1, 1, 1."""
    generator = torch.Generator().manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(5, 4, generator=generator, dtype=torch.float64))
    return left @ torch.diag(torch.tensor([3.0, 1, 1, 1]).double()) @ right.T


def test_assigned_weights_have_largest_singular_value_one() -> None:
    effective = layer(with_gap(0)).eval().weight
    assert torch.linalg.matrix_norm(effective, 2).item() == pytest.approx(1)


def test_the_start_depends_on_the_assigned_weight_alone() -> None:
    first, second = layer(with_gap(0)), layer(with_gap(1))
    second(inputs(maps=False))
    setattr(second, "weight", with_gap(0))  # noqa: B010
    for one, other in zip(first.buffers(), second.buffers(), strict=True):
        assert torch.equal(one, other)


def test_training_follows_a_weight_that_moves() -> None:
    made = layer(with_gap(0))
    with torch.no_grad():
        made.parametrizations.weight.original.copy_(with_gap(1))
    for _ in range(60):
        made(inputs(maps=False))
    assert torch.linalg.matrix_norm(made.eval().weight, 2).item() == pytest.approx(1)


def test_gradient_is_that_of_the_true_singular_value_once_converged() -> None:
    made = layer(with_gap(0))
    stop_tracking(made)
    raw = made.parametrizations.weight.original
    direction = with_gap(2)
    (gradient,) = torch.autograd.grad((made.weight * direction).sum(), raw)
    leaf = with_gap(0).requires_grad_()
    exact = leaf / torch.linalg.matrix_norm(leaf, 2)
    (wanted,) = torch.autograd.grad((exact * direction).sum(), leaf)
    torch.testing.assert_close(gradient, wanted, rtol=1e-6, atol=1e-6)


def test_two_forwards_before_a_backward() -> None:
    made = layer(with_gap(0))
    (made(inputs(maps=False)) - made(inputs(maps=False, seed=1))).sum().backward()
    assert made.parametrizations.weight.original.grad.isfinite().all()
