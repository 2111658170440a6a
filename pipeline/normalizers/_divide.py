"""A division whose backward is not the gradient: it takes the gradient through s from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pipeline.normalizers._common import channelwise

Coefficient = Callable[[Tensor, Tensor], Tensor]
"""(gradients in outputs, outputs) → what backward subtracts of the outputs, per channel."""


class Divide(torch.autograd.Function):
    """Forward z = x/s, with s (C). Backward (g − ν·z)/s: ν·z stands for the gradient through s."""

    @staticmethod
    def forward(inputs: Tensor, deviation: Tensor, coefficient: Coefficient) -> Tensor:
        del coefficient
        return inputs / channelwise(deviation, inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Coefficient], output: Tensor) -> None:
        _, deviation, ctx.coefficient = inputs
        ctx.save_for_backward(deviation, output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        deviation, outputs = ctx.saved_tensors
        subtracted = channelwise(ctx.coefficient(gradients[0], outputs), outputs) * outputs
        return (gradients[0] - subtracted) / channelwise(deviation, outputs), None, None
