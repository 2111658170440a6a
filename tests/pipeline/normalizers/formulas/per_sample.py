from __future__ import annotations

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def group(
    inputs: Tensor,
    state: State,
    *,
    groups: int = 32,
    channels_per_group: int | None = None,
    eps: float = 1e-5,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    size = channels_per_group or inputs.shape[1] // groups

    def one(sample: Tensor) -> Tensor:
        return torch.cat([common.standardized(part, eps) for part in sample.split(size)])

    outputs = common.each_sample(inputs, one)
    if affine:
        outputs = common.affine(outputs, state.parameters["weight"], state.parameters["bias"])
    return outputs, {}


def layer(
    inputs: Tensor, state: State, *, eps: float = 1e-5, affine: bool = True
) -> tuple[Tensor, Buffers]:
    return group(inputs, state, groups=1, eps=eps, affine=affine)


def instance(
    inputs: Tensor, state: State, *, eps: float = 1e-5, affine: bool = True
) -> tuple[Tensor, Buffers]:
    return group(inputs, state, channels_per_group=1, eps=eps, affine=affine)


def rms(
    inputs: Tensor, state: State, *, eps: float = 1e-5, affine: bool = True
) -> tuple[Tensor, Buffers]:
    outputs = common.each_sample(inputs, lambda x: x / ((x**2).sum() / x.numel() + eps).sqrt())
    if affine:
        assert set(state.parameters) == {"1.weight"}
        outputs = common.affine(outputs, state.parameters["1.weight"])
    return outputs, {}
