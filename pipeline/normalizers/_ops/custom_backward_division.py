"""A division whose backward is not the gradient: it takes the gradient through s from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pipeline.normalizers._ops.common import channelwise

Coefficient = Callable[[Tensor, Tensor], Tensor]
"""(gradients in outputs, outputs) → ν, per channel."""


class Divide(torch.autograd.Function):
    """Forward y = r·z, z = x/s, with r and s (C). Backward (r·g − ν·z)/s, g the gradient in y.

    ν·z stands for the gradient through s; g·y is the product of z and of the gradient in z.
    """

    @staticmethod
    def forward(
        inputs: Tensor, deviation: Tensor, ratio: Tensor, coefficient: Coefficient
    ) -> Tensor:
        del coefficient
        return inputs * channelwise(ratio / deviation, inputs)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Coefficient], output: Tensor
    ) -> None:
        _, deviation, ratio, ctx.coefficient = inputs
        ctx.save_for_backward(deviation, ratio, output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        deviation, ratio, outputs = ctx.saved_tensors
        subtracted = ctx.coefficient(gradients[0], outputs) / (ratio * deviation)
        kept = gradients[0] * channelwise(ratio / deviation, outputs)
        return torch.addcmul(kept, outputs, channelwise(-subtracted, outputs)), None, None, None
