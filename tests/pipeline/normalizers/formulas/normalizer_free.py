from __future__ import annotations

import torch
from torch import Tensor

from tests.pipeline.normalizers.formulas import common
from tests.pipeline.normalizers.formulas.common import Buffers, State


def multiplied(inputs: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    return inputs * parameters["multiplier"]


def selu(inputs: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    assert not parameters
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return torch.where(inputs > 0, scale * inputs, scale * alpha * (inputs.exp() - 1))


def dynamic_tanh(inputs: Tensor, state: State, *, alpha: float = 0.5) -> tuple[Tensor, Buffers]:
    del alpha  # only where the parameter starts
    z = (2 * state.parameters["0.alpha"] * inputs).exp()
    outputs = (z - 1) / (z + 1)
    return common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"]), {}


def derf(
    inputs: Tensor, state: State, *, alpha: float = 0.5, shift: float = 0.0
) -> tuple[Tensor, Buffers]:
    """2Φ(√2·z) − 1, Φ being the normal distribution function, as the source writes erf."""
    del alpha, shift  # only where the parameters start
    z = state.parameters["0.alpha"] * inputs + state.parameters["0.shift"]
    outputs = 2 * torch.special.ndtr(2**0.5 * z) - 1
    return common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"]), {}


def dyisru(inputs: Tensor, state: State, *, beta: float | None = None) -> tuple[Tensor, Buffers]:
    """Each x over the root mean square of C values: itself and others, whose squares sum to β."""
    del beta  # only where the parameter starts
    channels = inputs.shape[1]
    total = state.parameters["0.log_beta"].exp() + inputs**2
    outputs = inputs / (total / channels) ** 0.5
    return common.affine(outputs, state.parameters["1.weight"], state.parameters["1.bias"]), {}
