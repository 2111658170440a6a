from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def lp(
    inputs: Tensor,
    state: State,
    divisor: Callable[[Tensor, float], Tensor],
    *,
    centered: bool = False,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = True,
) -> tuple[Tensor, Buffers]:
    prefix = "0." if affine else ""
    old_mean = state.buffers[f"{prefix}running_mean"]
    old_scale = state.buffers[f"{prefix}running_scale"]
    new_mean, new_scale = old_mean.clone(), old_scale.clone()

    def one(c: int, values: Tensor) -> Tensor:
        if not state.training:
            return (values - old_mean[c]) / old_scale[c]
        mean = values.sum() / values.numel()
        scale = divisor(values - mean if centered else values, eps)
        new_mean[c] = (1 - momentum) * old_mean[c] + momentum * mean.detach()
        new_scale[c] = (1 - momentum) * old_scale[c] + momentum * scale.detach()
        return (values - mean) / scale

    outputs = common.each_channel(inputs, one)
    if affine:
        outputs = common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"])
    return outputs, {f"{prefix}running_mean": new_mean, f"{prefix}running_scale": new_scale}


def l1(inputs: Tensor, state: State, **options: Any) -> tuple[Tensor, Buffers]:
    return lp(inputs, state, lambda x, eps: x.abs().sum() / x.numel() + eps, **options)


def l2(inputs: Tensor, state: State, **options: Any) -> tuple[Tensor, Buffers]:
    return lp(inputs, state, lambda x, eps: ((x**2).sum() / x.numel() + eps) ** 0.5, **options)


def linf(inputs: Tensor, state: State, **options: Any) -> tuple[Tensor, Buffers]:
    return lp(inputs, state, lambda x, eps: x.abs().max() + eps, **options)
