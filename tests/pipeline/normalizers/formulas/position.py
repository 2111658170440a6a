from __future__ import annotations

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def position(inputs: Tensor, state: State, *, eps: float = 1e-5) -> tuple[Tensor, Buffers]:
    assert not state.parameters

    def one(sample: Tensor) -> Tensor:
        pixels = sample.reshape(len(sample), -1).unbind(1)
        outputs = [common.standardized(pixel, eps) for pixel in pixels]
        return torch.stack(outputs, dim=1).view(sample.shape)

    return common.each_sample(inputs, one), {}


def layer_per_pixel(
    inputs: Tensor, state: State, *, eps: float = 1e-6, affine: bool = True
) -> tuple[Tensor, Buffers]:
    outputs, _ = position(inputs, State({}, {}, state.training, state.noise_key), eps=eps)
    if affine:
        outputs = common.affine(outputs, state.parameters["weight"], state.parameters["bias"])
    return outputs, {}
