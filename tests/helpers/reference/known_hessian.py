"""What the tests of curvature share: a regression whose Hessian is known, and how probes run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pipeline.data import Batch
from pipeline.probes._view import Records, View, preserve_state
from tests.helpers.training.views import linear_view

Probe = Callable[..., Records]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, Y, W = normal(9, 4, seed=1), normal(9, 3, seed=2), normal(3, 4, seed=3)
SPECTRUM = torch.linalg.eigvalsh(2 * X.T @ X)
"""Of the loss ‖XWᵀ − Y‖²: H = 1 ⊗ 2XᵀX, each eigenvalue three times."""


def regression(lr: float = 0.01) -> View:
    return linear_view([W], Batch(X, Y), lr)


def observed(probe: Probe, view: View, **options: Any) -> dict[str, Any]:
    with preserve_state(view.network, view.mode):
        return dict(probe(replace(view, rng=torch.Generator().manual_seed(0)), **options))


def number(column: Any) -> float:
    (value,) = column.tolist() if isinstance(column, Tensor) else column
    return value
