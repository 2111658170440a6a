"""Normalization by p-norms over the batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import (
    LinearNorm,
    batch_axes,
    require_batch,
    require_features,
    with_affine,
    within,
)
from pipeline.normalizers._ops.moments import mean_over, mean_square
from pipeline.normalizers._ops.running_stats import RunningAverages

Divisor = Callable[[Tensor, tuple[int, ...], float], Tensor]
"""(values, axes of the batch, ε) → the divisor of each channel, the axes kept."""


class LpNorm(LinearNorm, RunningAverages):
    """Subtract the batch mean and divide by a batch-averaged norm, per channel; see `l1`."""

    running_mean: Tensor
    running_scale: Tensor

    def __init__(
        self, channels: int, divisor: Divisor, *, centered: bool, eps: float, momentum: float
    ) -> None:
        super().__init__(
            momentum, running_mean=torch.zeros(channels), running_scale=torch.ones(channels)
        )
        self.divisor, self.centered, self.eps = divisor, centered, eps

    def coefficients(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """1/d and −μ/d (C)."""
        require_features(inputs)
        mean, scale = self.running_mean, self.running_scale
        if self.training:
            mean, scale = self._statistics(inputs)
            self.average(running_mean=mean, running_scale=scale)
        return 1 / scale, -mean / scale

    def _statistics(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        require_batch(inputs)
        axes = batch_axes(inputs)
        mean = mean_over(inputs, axes)
        values = inputs + -mean if self.centered else inputs  # minus would negate all of backward
        return mean.flatten(), self.divisor(values, axes, self.eps).flatten()


def l1(
    *, centered: bool = False, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
) -> Normalizer:
    """L1 normalization: zero mean, divided by the mean absolute value over the batch, per channel.

    y = γ·(x − μ)/d + β with μ = mean x and d = mean |x| + ε, means over (N) or (N, H, W).
    Evaluation uses running averages of μ and of d: r ← (1 − momentum)·r + momentum·batch value.

    Args:
        centered: take the norm of x − μ instead of x. The source divides by the norm "before
            shifting the mean", so it is that of the raw activations by default; read so, the mean
            of a unit changes its scale, and `l2` is not batch normalization.
        eps: ε, at least 0.
        momentum: weight of the newest batch in the running averages, in [0, 1].
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; in training, if a batch holds one value a channel.

    Cost: no native kernel: some fifteen operations a step, each a pass over the features.

    Source: Santurkar et al., NeurIPS 2018, section 3.3.
    """
    return _normalizer(_mean_absolute, centered, eps, momentum, affine)


def l2(
    *, centered: bool = False, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
) -> Normalizer:
    """L2 normalization: zero mean, divided by the root mean square over the batch, per channel.

    As `l1`, with d = √(mean x² + ε). Centered, it is batch normalization in training; in evaluation
    it differs from it by averaging d and not the unbiased variance.

    Args:
        centered, eps, momentum, affine: as in `l1`.

    Raises:
        ValueError: as `l1` does.

    Cost: as `l1`.

    Source: Santurkar et al., NeurIPS 2018, section 3.3.
    """
    return _normalizer(_root_mean_square, centered, eps, momentum, affine)


def linf(
    *, centered: bool = False, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
) -> Normalizer:
    """L∞ normalization: zero mean, divided by the largest absolute value in the batch, per channel.

    As `l1`, with d = max |x| + ε.

    Args:
        centered, eps, momentum, affine: as in `l1`.

    Raises:
        ValueError: as `l1` does.

    Cost: as `l1`.

    Source: Santurkar et al., NeurIPS 2018, section 3.3.
    """
    return _normalizer(_largest, centered, eps, momentum, affine)


def _mean_absolute(values: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    return mean_over(values.abs(), axes) + eps


def _root_mean_square(values: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    return (mean_square(values, axes) + eps).sqrt()


def _largest(values: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """By its place: backward writes to one value a channel, where amax compares all of them."""
    del axes
    rows = values.movedim(1, -1).flatten(0, -2)
    place = rows.detach().abs().max(0, keepdim=True).indices
    return rows.gather(0, place).abs() + eps


def _normalizer(
    divisor: Divisor, centered: bool, eps: float, momentum: float, affine: bool
) -> Normalizer:
    within(0, math.inf, eps=eps)
    within(0, 1, momentum=momentum)

    norm = partial(LpNorm, divisor=divisor, centered=centered, eps=eps, momentum=momentum)
    traits = Traits(
        batch_dependent=True,
        running_stats=True,
        scale_invariant_weights=True,
        # A bias before moves the norm of uncentered values, so only β makes it redundant.
        bias_free=affine or centered,
    )
    return Normalizer(features=with_affine(norm, affine), traits=traits)
