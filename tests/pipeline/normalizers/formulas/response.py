from __future__ import annotations

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def local_response(
    inputs: Tensor,
    state: State,
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
) -> tuple[Tensor, Buffers]:
    assert not state.parameters
    channels = inputs.shape[1]

    def one(c: int, values: Tensor) -> Tensor:
        around = range(max(0, c - size // 2), min(channels - 1, c + size // 2) + 1)
        total = torch.stack([inputs[:, j] ** 2 for j in around]).sum(0)
        return values / (k + alpha * total) ** beta

    return common.each_channel(inputs, one), {}


def divisive(
    inputs: Tensor, state: State, *, window: int = 5, sigma: float = 0.5, affine: bool = False
) -> tuple[Tensor, Buffers]:
    maps = inputs if inputs.ndim == 4 else inputs[:, :, None, None]
    v = torch.stack([sample - _windows(sample, window) for sample in maps])
    power = torch.stack([_windows(sample**2, window) for sample in v])
    outputs = (v / (sigma**2 + power[:, None]).sqrt()).view(inputs.shape)
    if affine:
        outputs = common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"])
    return outputs, {}


def _windows(sample: Tensor, window: int) -> Tensor:
    """(C, H, W) → (H, W): means over the parts of the windows that lie inside."""
    _, height, width = sample.shape
    reach = window // 2

    def mean(row: int, column: int) -> Tensor:
        rows = slice(max(0, row - reach), row + reach + 1)
        inside = sample[:, rows, max(0, column - reach) : column + reach + 1]
        return inside.sum() / inside.numel()

    return torch.stack([mean(i, j) for i in range(height) for j in range(width)]).view(
        height, width
    )


def global_response(inputs: Tensor, state: State, *, eps: float = 1e-6) -> tuple[Tensor, Buffers]:
    gain, shift = state.parameters["weight"], state.parameters["bias"]

    def one(sample: Tensor) -> Tensor:
        norms = [(x**2).sum().sqrt() for x in sample]
        mean = sum(norms) / len(norms)
        channels = [
            gain[c] * x * norms[c] / (mean + eps) + shift[c] + x for c, x in enumerate(sample)
        ]
        return torch.stack(channels)

    return common.each_sample(inputs, one), {}
