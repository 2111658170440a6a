from __future__ import annotations

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def filter_response(inputs: Tensor, state: State, *, eps: float = 1e-6) -> tuple[Tensor, Buffers]:
    def one(sample: Tensor) -> Tensor:
        return torch.stack([x / ((x**2).sum() / x.numel() + eps).sqrt() for x in sample])

    outputs = common.each_sample(inputs, one)
    return common.affine(outputs, state.parameters["weight"], state.parameters["bias"]), {}


def threshold(inputs: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    thresholds = parameters["threshold"]

    def one(c: int, values: Tensor) -> Tensor:
        return torch.where(values > thresholds[c], values, thresholds[c])

    return common.each_channel(inputs, one)


def evonorm_s0(
    inputs: Tensor,
    state: State,
    *,
    groups: int = 32,
    channels_per_group: int | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, Buffers]:
    size = channels_per_group or inputs.shape[1] // groups
    slope = state.parameters["slope"]

    def deviation(part: Tensor) -> Tensor:
        mean = part.sum() / part.numel()
        return (((part - mean) ** 2).sum() / part.numel() + eps).sqrt()

    def one(sample: Tensor) -> Tensor:
        return torch.cat([part / deviation(part) for part in sample.split(size)])

    gates = common.each_channel(inputs, lambda c, x: 1 / (1 + (-slope[c] * x).exp()))
    outputs = common.each_sample(inputs, one) * gates
    return common.affine(outputs, state.parameters["weight"], state.parameters["bias"]), {}
