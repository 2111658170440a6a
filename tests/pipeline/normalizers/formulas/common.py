"""What the formulas are written in: one channel, one sample at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Buffers = dict[str, Tensor]


@dataclass(frozen=True)
class State:
    """What a features module or a weight layer knows; names are those of its state_dict."""

    parameters: dict[str, Tensor]
    buffers: Buffers
    training: bool
    noise_key: int


def unchanged(inputs: Tensor, state: State) -> tuple[Tensor, Buffers]:
    assert not state.parameters
    return inputs, {}


def plain_weight(state: State) -> tuple[Tensor, Buffers]:
    return state.parameters["weight"], {}


def same(inputs: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    assert not parameters
    return inputs


def each_channel(inputs: Tensor, function: Callable[[int, Tensor], Tensor]) -> Tensor:
    channels = range(inputs.shape[1])
    return torch.stack([function(c, inputs[:, c]) for c in channels], dim=1)


def each_sample(inputs: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.stack([function(sample) for sample in inputs])


def affine(outputs: Tensor, gain: Tensor, shift: Tensor | None = None) -> Tensor:
    def one(c: int, values: Tensor) -> Tensor:
        return gain[c] * values + (0 if shift is None else shift[c])

    return each_channel(outputs, one)


def standardized(values: Tensor, eps: float) -> Tensor:
    mean = values.sum() / values.numel()
    variance = ((values - mean) ** 2).sum() / values.numel()
    return (values - mean) / (variance + eps).sqrt()
