"""Means and biased variances of maps and batches, in few passes over the features.

Written for speed where it costs no exactness: a mean is a sum divided afterwards, so that backward
divides the small tensor and not one of the features' size; a variance is that around a constant
near the mean, less the square of their difference, an identity whose derivatives of all orders are
those of the variance. (On a CPU, torch.var takes a hundred times as long as a sum.)
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

Moments = tuple[Tensor, Tensor]
"""Mean and biased variance, each of a shape that broadcasts to (N, C)."""
Axes = tuple[int, ...]


def mean_over(inputs: Tensor, axes: Axes) -> Tensor:
    """Mean over axes, which are kept."""
    return inputs.sum(axes, keepdim=True) / _count(inputs, axes)


def mean_square(inputs: Tensor, axes: Axes) -> Tensor:
    """Mean of x² over axes, which are kept."""
    return _SquaredDistance.apply(inputs, None, axes) / _count(inputs, axes)


def moments_over(inputs: Tensor, axes: Axes) -> Moments:
    """Mean and biased variance over axes, which are kept."""
    mean = mean_over(inputs, axes)
    centre = mean.detach()
    around = _SquaredDistance.apply(inputs, centre, axes) / _count(inputs, axes)
    return mean, around - (mean - centre).square()


def map_moments(inputs: Tensor) -> Moments:
    """Moments (N, C) over (H, W) of (N, C, H, W); those of (N, C) are its values and 0."""
    if inputs.ndim == 2:
        return inputs, torch.zeros_like(inputs)
    mean, variance = moments_over(inputs, (2, 3))
    return mean.flatten(1), variance.flatten(1)


def joined(moments: Moments, axis: int) -> Moments:
    """Moments of the unions of equally large parts along an axis of (N, C), which is kept."""
    mean, variance = moments
    between, over_all = torch.var_mean(mean, axis, correction=0, keepdim=True)
    return over_all, variance.mean(axis, keepdim=True) + between


def _count(inputs: Tensor, axes: Axes) -> int:
    return math.prod(inputs.shape[axis] for axis in axes)


class _SquaredDistance(torch.autograd.Function):
    """Σ (x − c)² over axes, which are kept; c, or 0, is a constant.

    Backward 2·g·(x − c) is one pass, and nothing but x is kept for it.
    """

    @staticmethod
    def forward(inputs: Tensor, centre: Tensor | None, axes: Axes) -> Tensor:
        centred = inputs if centre is None else inputs - centre
        return centred.square().sum(axes, keepdim=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor | None, Axes], output: Tensor) -> None:
        del output
        values, centre, ctx.axes = inputs
        ctx.save_for_backward(values, centre)
        ctx.save_for_forward(values, centre)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        values, centre = ctx.saved_tensors
        twice = 2 * gradients[0]
        if centre is None:
            return values * twice, None, None
        return torch.addcmul(-centre * twice, values, twice), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        values, centre = ctx.saved_tensors
        centred = values if centre is None else values - centre
        return 2 * (centred * tangents[0]).sum(ctx.axes, keepdim=True)
