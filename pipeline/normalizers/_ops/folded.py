"""Sums over a channel on a CPU, in blocks, where torch's own kernels add up in the maps' type.

Of features that lie in memory position by position (vectors, maps in channels-last order), torch's
batch normalization adds up a channel's m values one after another. In float32 that costs up to
√m to m roundings: at m = 2¹⁷ the output is off by 1e-5 to 1e-4. Here k rows of C numbers count as
one row of k·C: the same kernels then see k parts of every channel, m/k values each, and k numbers
remain to be added, which torch's sum does pairwise. That is as fast, and off by 5e-8.

torch takes maps in contiguous order channel by channel, in double precision: nothing is to be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from pipeline.normalizers._ops.common import batch_axes, channelwise

_LEAST = 128
"""Values of a part: fewer would leave more to add up afterwards than they gain."""

_gradients = torch.ops.aten.native_batch_norm_backward


def folded(values: Tensor) -> Tensor | None:
    """View (N, C) or (N, C, H, W) as (m/k, k·C); None where memory is not position by position.

    Other devices than the CPU add up in another way: None as well.
    """
    if values.device.type != "cpu" or values.ndim not in (2, 4):
        return None
    rows = values if values.ndim == 2 else values.permute(0, 2, 3, 1)
    if not rows.is_contiguous() or values.numel() == 0:
        return None
    parts = _parts(values.numel() // values.shape[1])
    return rows.view(-1, parts * values.shape[1])


def moments(rows: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C) of folded features."""
    means, variances = (
        part.view(-1, channels) for part in torch.batch_norm_update_stats(rows, None, None, 0.0)
    )
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0)


def projections(g: Tensor, x: Tensor, mean: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """⟨g, x̂⟩ and ⟨g, 1⟩ (C) of features (N, C, …), with x̂ = (x − μ)·r."""
    if torch.is_grad_enabled():  # to be differentiated itself, which the kernels are not
        axes = batch_axes(x)
        unit = (x - channelwise(mean, x)) * channelwise(r, x)
        return (g * unit).sum(axes), g.sum(axes)
    one = torch.ones_like(mean)  # CUDA's kernel does not take a weight that is None
    sums = [False, True, True]
    rows = folded(x)
    if rows is None:
        parts = (g, x, one, None, None, mean, r, True, 0.0, sums)
        return _gradients(*parts)[1:]
    k = rows.shape[1] // len(mean)
    mean, r, one = (vector.repeat(k) for vector in (mean, r, one))
    found = _gradients(alike(g, x), rows, one, None, None, mean, r, True, 0.0, sums)[1:]
    along, total = (part.view(k, -1).sum(0) for part in found)
    return along, total


def combined(x: Tensor, shift: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
    """Sum of a shift and of maps like x, each times its coefficient; all of them one per channel.

    Args:
        x: gives the layout.
        shift: (C).
        terms: coefficients (C) and maps.
    """
    rows = folded(x)
    if rows is None:
        own = [(channelwise(vector, x), values) for vector, values in terms]
        return _sum(channelwise(shift, x).expand_as(x), own)
    k = rows.shape[1] // len(shift)
    own = [(vector.repeat(k), alike(values, x)) for vector, values in terms]
    return _unfolded(_sum(shift.repeat(k).expand_as(rows), own), x)


def _sum(total: Tensor, terms: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Add up coefficients times maps; after the first in place, unless derivatives are recorded."""
    for place, (coefficient, values) in enumerate(terms):
        add = Tensor.addcmul_ if place and not torch.is_grad_enabled() else torch.addcmul
        total = add(total, values, coefficient)
    return total


def alike(values: Tensor, x: Tensor) -> Tensor:
    """Fold maps as x is folded, whatever their own layout."""
    order = torch.channels_last if x.ndim == 4 else torch.contiguous_format
    found = folded(values.contiguous(memory_format=order))
    assert found is not None
    return found


def _unfolded(rows: Tensor, x: Tensor) -> Tensor:
    if x.ndim == 2:
        return rows.view(x.shape)
    samples, channels, height, width = x.shape
    return rows.view(samples, height, width, channels).permute(0, 3, 1, 2)


@lru_cache
def _parts(count: int) -> int:
    """The most equal parts of a channel's values of which none is too small."""
    return next(k for k in range(max(1, count // _LEAST), 0, -1) if count % k == 0)
