from __future__ import annotations

import math
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


def splitmix64(seed: int, count: int) -> list[int]:
    """Its first outputs, as its authors write it down, in Python's unbounded integers."""
    outputs = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        z = seed
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        outputs.append(z ^ (z >> 31))
    return outputs


def _box_muller(word: int) -> float:
    radius = math.sqrt(-2 * math.log(((word >> 20) % 2**24 + 1) / 2**24))
    return radius * math.cos(2 * math.pi * (word % 2**20) / 2**20)


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
    drawn = splitmix64(state.noise_key, 2 * channels + inputs.numel())
    fractions = [(word >> 11) / 2**53 for word in drawn[: 2 * channels]]
    u = torch.tensor(fractions[:channels], dtype=torch.float64).view(per_channel)
    v = torch.tensor(fractions[channels:], dtype=torch.float64).view(per_channel)
    entries = drawn[2 * channels :]
    w = torch.tensor([(word >> 44) / 2**20 for word in entries], dtype=torch.float64)
    z = torch.tensor([_box_muller(word) for word in entries], dtype=torch.float64)
    w, z = w.view(inputs.shape), z.view(inputs.shape)
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
