from __future__ import annotations

from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def mean_only(
    inputs: Tensor, state: State, *, momentum: float = 0.1, affine: bool = True
) -> tuple[Tensor, Buffers]:
    old = state.buffers["running_mean"]
    new = old.clone()

    def one(c: int, values: Tensor) -> Tensor:
        if not state.training:
            return values - old[c]
        mean = values.sum() / values.numel()
        new[c] = (1 - momentum) * old[c] + momentum * mean.detach()
        return values - mean

    outputs = common.each_channel(inputs, one)
    if affine:
        shift = state.parameters["bias"]
        outputs = common.each_channel(outputs, lambda c, values: values + shift[c])
    return outputs, {"running_mean": new}


def variance_only(
    inputs: Tensor,
    state: State,
    *,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    prefix = "0." if affine else ""
    old = state.buffers[f"{prefix}running_var"]
    new = old.clone()

    def one(c: int, values: Tensor) -> Tensor:
        if not state.training:
            return values / (old[c] + eps).sqrt()
        m = values.numel()
        squares = ((values - values.sum() / m) ** 2).sum()
        new[c] = (1 - momentum) * old[c] + momentum * squares.detach() / (m - 1)
        return values / (squares / m + eps).sqrt()

    outputs = common.each_channel(inputs, one)
    if affine:
        outputs = common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"])
    return outputs, {f"{prefix}running_var": new}
