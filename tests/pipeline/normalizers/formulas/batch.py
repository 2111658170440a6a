from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def batch(
    inputs: Tensor,
    state: State,
    *,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = True,
    prefix: str = "",
) -> tuple[Tensor, Buffers]:
    old_mean = state.buffers[f"{prefix}running_mean"]
    old_variance = state.buffers[f"{prefix}running_var"]
    new_mean, new_variance = old_mean.clone(), old_variance.clone()

    def one(c: int, values: Tensor) -> Tensor:
        if not state.training:
            return (values - old_mean[c]) / (old_variance[c] + eps).sqrt()
        m = values.numel()
        mean = values.sum() / m
        squares = ((values - mean) ** 2).sum()
        new_mean[c] = (1 - momentum) * old_mean[c] + momentum * mean.detach()
        new_variance[c] = (1 - momentum) * old_variance[c] + momentum * squares.detach() / (m - 1)
        return (values - mean) / (squares / m + eps).sqrt()

    outputs = common.each_channel(inputs, one)
    if affine:
        gain, shift = (state.parameters[f"{prefix}{name}"] for name in ("weight", "bias"))
        outputs = common.affine(outputs, gain, shift)
    return outputs, {f"{prefix}running_mean": new_mean, f"{prefix}running_var": new_variance}


def ghost_batch(
    inputs: Tensor, state: State, *, ghost: int = 16, **options: Any
) -> tuple[Tensor, Buffers]:
    if not state.training:
        return batch(inputs, state, **options)
    outputs, buffers, moved = [], state.buffers, {}
    for start in range(0, len(inputs), ghost):
        part = inputs[start : start + ghost]
        normalized, moved = batch(part, replace(state, buffers=buffers), **options)
        buffers = {**buffers, **moved}
        outputs.append(normalized)
    return torch.cat(outputs), moved


def noise(
    inputs: Tensor,
    state: State,
    *,
    shift_range: float = 0.5,
    scale_range: float = 0.25,
    shift_jitter: float = 0.1,
    scale_jitter: float = 0.1,
) -> tuple[Tensor, Buffers]:
    if not state.training:
        return inputs, {}
    channels, per_channel = inputs.shape[1], [1, -1] + [1] * (inputs.ndim - 2)
    generator = torch.Generator().manual_seed(state.noise_key)
    u = torch.rand(channels, generator=generator).double().view(per_channel)
    v = torch.rand(channels, generator=generator).double().view(per_channel)
    w = torch.rand(inputs.shape, generator=generator).double()
    z = torch.randn(inputs.shape, generator=generator).double()
    mu = -shift_range + 2 * shift_range * u
    sigma = 1 + scale_range * v
    m = (mu - shift_jitter) + 2 * shift_jitter * w
    s = sigma + scale_jitter * z
    return s * inputs + m, {}


def noisy_batch(
    inputs: Tensor, state: State, *, affine: bool = True, scale_jitter: float = 0.1
) -> tuple[Tensor, Buffers]:
    outputs, buffers = batch(inputs, state, affine=affine, prefix="0.")
    outputs, _ = noise(outputs, state, scale_jitter=scale_jitter)
    return outputs, buffers
