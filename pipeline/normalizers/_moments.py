"""Means and biased variances of maps, and those of unions of maps from them."""

from __future__ import annotations

import torch
from torch import Tensor

Moments = tuple[Tensor, Tensor]
"""Mean and biased variance, each of a shape that broadcasts to (N, C)."""


def of_maps(inputs: Tensor) -> Moments:
    """Moments (N, C) over (H, W) of (N, C, H, W); those of (N, C) are its values and 0."""
    if inputs.ndim == 2:
        return inputs, torch.zeros_like(inputs)
    mean = inputs.mean((2, 3), keepdim=True)
    # In two passes: on a CPU, torch.var takes several times as long.
    return mean.flatten(1), (inputs - mean).square().mean((2, 3))


def joined(moments: Moments, axis: int) -> Moments:
    """Moments of the unions of equally large parts along an axis of (N, C), which is kept."""
    mean, variance = moments
    between, over_all = torch.var_mean(mean, axis, correction=0, keepdim=True)
    return over_all, variance.mean(axis, keepdim=True) + between
