"""Two-dimensional convolution; its second derivatives are three more calls of convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pipeline.probes._double_backward._once import refuse_third_derivatives

_gradients = torch.ops.aten.convolution_backward


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor | None:
    """`torch.nn.functional.conv2d` of a batch (N, C, H, W); None with a named padding.

    torch differentiates the backward pass by convolutions with kernels as large as the maps; here
    it is two convolutions and one call of the common backward.
    """
    if input.ndim != 4 or isinstance(padding, str):
        return None
    pairs = [[x, x] if isinstance(x, int) else list(x) for x in (stride, padding, dilation)]
    return _Convolution.apply(input, weight, bias, (*pairs, False, [0, 0], groups))


class _Convolution(torch.autograd.Function):
    """y = x ∗ w + b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, options: Any) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.options = options
        return torch.convolution(x, w, b, *options)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[:3]
        found = _ConvolutionBackward.apply(gradients[0], *ctx.saved_tensors, ctx.options, wanted)
        return *found, None


class _ConvolutionBackward(torch.autograd.Function):
    """(∂L/∂x, ∂L/∂w, ∂L/∂b) from g = ∂L/∂y; linear in g with x and w, and in each of these."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, w: Tensor, options: Any, wanted: Any) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x, w)
        ctx.options = options
        return _gradients(g, x, w, [w.shape[0]], *options, [*wanted])

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor | None) -> tuple[Tensor | None, ...]:
        refuse_third_derivatives()
        (u, v, s), (g, x, w), options = vectors, ctx.saved_tensors, ctx.options
        in_g = _in_g(u, w, x, v, s, options)
        if in_g is None and s is not None:
            in_g = s.view(1, -1, 1, 1).expand_as(g)
        # As a convolution of u with v would be differentiated, g coming in.
        wanted = [ctx.needs_input_grad[1] and v is not None, u is not None]
        if not any(wanted):
            return in_g, None, None, None, None
        u, v = x if u is None else u, w if v is None else v
        return (
            in_g,
            *_gradients(g, u, v, None, *options, [*wanted, False])[:2],
            None,
            None,
        )


def _in_g(
    u: Tensor | None, w: Tensor, x: Tensor, v: Tensor | None, s: Tensor | None, options: Any
) -> Tensor | None:
    """u ∗ w + x ∗ v + s, of the convolutions that there are."""
    total = None
    for maps, kernel in ((u, w), (x, v)):
        if maps is not None and kernel is not None:
            one = torch.convolution(maps, kernel, s if total is None else None, *options)
            total = one if total is None else total.add_(one)
    return total
