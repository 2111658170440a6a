"""ReLU and max pooling: they pick entries; where they are smooth, the choice is constant.

So the backward pass is linear in the gradient and constant in the input, and its derivative is the
same choice made once more. torch adds a map of zeros for the input of ReLU, and picks the entries
of a pooled map in another layout than the map's, which every operation after it pays for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_pooled = torch.ops.aten.max_pool2d_with_indices
_spread = torch.ops.aten.max_pool2d_with_indices_backward


def rectification(input: Tensor, inplace: bool = False) -> Tensor | None:
    """`torch.nn.functional.relu`; None in place."""
    return None if inplace else _Rectification.apply(input)


def pooling(
    input: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | None:
    """`torch.nn.functional.max_pool2d` of a batch (N, C, H, W); None if places are asked for."""
    if input.ndim != 4 or return_indices:
        return None
    sizes = (kernel_size, kernel_size if stride is None else stride, padding, dilation)
    pairs = [[x, x] if isinstance(x, int) else list(x) for x in sizes]
    return _Pooling.apply(input, (*pairs, ceil_mode))


class _Rectification(torch.autograd.Function):
    """y = max(x, 0)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.relu(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradients[0], y.detach(), 0)


class _Pooling(torch.autograd.Function):
    """y_o = x_{i(o)}, the largest entry of window o."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, options: Any) -> Tensor:
        y, places = _pooled(x, *options)
        ctx.save_for_backward(x, places)
        ctx.options = options
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, places = ctx.saved_tensors
        return _Spreading.apply(gradients[0], x.detach(), places, ctx.options), None


class _Spreading(torch.autograd.Function):
    """Entries of g to the places they came from, summed there: the transpose of picking."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, places: Tensor, options: Any) -> Tensor:
        ctx.save_for_backward(places)
        return _spread(g, x, *options, places)

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Tensor, None, None, None]:
        (places,) = ctx.saved_tensors
        return _picked(vectors[0], places), None, None, None


def _picked(maps: Tensor, places: Tensor) -> Tensor:
    """Entries (N, C, h, w) of maps (N, C, H, W) at places within a channel, as places are laid out.

    One gather, without a copy of the maps where both are laid out alike.
    """
    if places.is_contiguous(memory_format=torch.channels_last):
        order = (0, 2, 3, 1)  # as they lie in memory
        entries = places.permute(order).flatten(1, 2)
        found = maps.permute(order).flatten(1, 2).gather(1, entries)
        return found.transpose(1, 2).unflatten(2, places.shape[2:])
    return maps.flatten(2).gather(2, places.flatten(2)).view_as(places)
