from __future__ import annotations

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def evonorm_b0(
    inputs: Tensor, state: State, *, eps: float = 1e-5, momentum: float = 0.1
) -> tuple[Tensor, Buffers]:
    old, slope = state.buffers["0.running_var"], state.parameters["0.slope"]
    new = old.clone()

    def one(c: int, values: Tensor) -> Tensor:
        variance = old[c]
        if state.training:
            variance = _variance(values)
            new[c] = (1 - momentum) * old[c] + momentum * variance.detach()
        return torch.stack([sample(c, x, (variance + eps).sqrt()) for x in values])

    def sample(c: int, x: Tensor, of_batch: Tensor) -> Tensor:
        other = slope[c] * x + (_variance(x) + eps).sqrt()
        return x / torch.where(other > of_batch, other, of_batch)

    outputs = common.each_channel(inputs, one)
    outputs = common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"])
    return outputs, {"0.running_var": new}


def _variance(values: Tensor) -> Tensor:
    return ((values - values.sum() / values.numel()) ** 2).sum() / values.numel()
