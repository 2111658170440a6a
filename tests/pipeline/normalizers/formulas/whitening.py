from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def iterative_whitening(
    inputs: Tensor,
    state: State,
    *,
    groups: int = 1,
    channels_per_group: int | None = None,
    iterations: int = 5,
    momentum: float = 0.1,
    eps: float = 1e-5,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    def inverse_root(covariance: Tensor) -> Tensor:
        trace = sum(covariance[i, i] for i in range(len(covariance)))
        root = torch.eye(len(covariance), dtype=covariance.dtype)
        for _ in range(iterations):
            cube = torch.linalg.matrix_power(root, 3)
            root = (3 * root - cube @ (covariance / trace)) / 2
        return root / trace**0.5

    size = channels_per_group or inputs.shape[1] // groups
    return _whitened(inputs, state, size, inverse_root, momentum, eps, affine)


def decorrelated_batch(
    inputs: Tensor,
    state: State,
    *,
    channels_per_group: int = 16,
    momentum: float = 0.1,
    eps: float = 1e-5,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    return _whitened(inputs, state, channels_per_group, _exact, momentum, eps, affine)


def _exact(covariance: Tensor) -> Tensor:
    """Σ^(−1/2) =: W; a Newton step from it, for W·Σ·W = I, brings its derivative."""
    fixed = covariance.detach()
    values, vectors = torch.linalg.eigh(fixed)
    root = vectors @ torch.diag(values**-0.5) @ vectors.T
    identity = torch.eye(len(fixed), dtype=fixed.dtype)
    slope = torch.kron(fixed @ root, identity) + torch.kron(identity, fixed @ root)
    residual = root @ covariance @ root - identity
    return root - torch.linalg.solve(slope, residual.flatten()).view_as(root)


def _whitened(
    inputs: Tensor,
    state: State,
    size: int,
    inverse_root: Any,
    momentum: float,
    eps: float,
    affine: bool,
) -> tuple[Tensor, Buffers]:
    prefix = "0." if affine else ""
    names = (f"{prefix}running_mean", f"{prefix}running_whitening")
    old_mean, old_whitening = (state.buffers[name] for name in names)
    new_mean, new_whitening = old_mean.clone(), old_whitening.clone()
    parts = []
    for index, part in enumerate(inputs.split(size, dim=1)):
        place = slice(index * size, (index + 1) * size)
        mean, whitening = old_mean[place], old_whitening[index]
        if state.training:
            points = part.movedim(1, -1).reshape(-1, size)
            mean = points.sum(0) / len(points)
            covariance = sum(torch.outer(p - mean, p - mean) for p in points) / len(points)
            whitening = inverse_root(covariance + eps * torch.eye(size, dtype=points.dtype))
            new_mean[place] = (1 - momentum) * old_mean[place] + momentum * mean.detach()
            change = whitening.detach() - old_whitening[index]
            new_whitening[index] = old_whitening[index] + momentum * change
        centred = part.movedim(1, -1) - mean
        parts.append((centred @ whitening.T).movedim(-1, 1))
    outputs = torch.cat(parts, dim=1)
    if affine:
        outputs = common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"])
    return outputs, dict(zip(names, (new_mean, new_whitening), strict=True))
