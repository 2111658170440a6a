"""Batch renormalization: batch statistics, corrected towards the running ones."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import (
    LinearNorm,
    above_zero,
    batch_axes,
    require_batch,
    require_features,
    with_affine,
    within,
)
from pipeline.normalizers._ops.moments import moments_over
from pipeline.normalizers._ops.running_stats import SteppedAverages


class BatchRenorm(LinearNorm, SteppedAverages):
    """The normalization of `batch_renorm`, without γ and β."""

    running_mean: Tensor
    running_std: Tensor
    used_mean: Tensor
    used_std: Tensor

    def __init__(
        self,
        channels: int,
        *,
        limits: tuple[float, float],
        relax_from: int,
        relaxed_at: tuple[int, int],
        eps: float,
        momentum: float,
    ) -> None:
        super().__init__(momentum, mean=torch.zeros(channels), std=torch.ones(channels))
        self.limits, self.relax_from, self.relaxed_at = limits, relax_from, relaxed_at
        self.eps = eps

    def coefficients(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """r/σ_B and d − μ_B·r/σ_B (C); in evaluation 1/σ and −μ/σ."""
        require_features(inputs)
        if not self.training:
            return 1 / self.running_std, -self.running_mean / self.running_std
        require_batch(inputs)
        self.begin()
        mean, variance = (m.flatten() for m in moments_over(inputs, batch_axes(inputs)))
        std = (variance + self.eps).sqrt()
        self.average(running_mean=mean, running_std=std)
        scale, shift = self._correction(mean.detach(), std.detach())
        return scale / std, shift - mean * scale / std

    def _correction(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """r and d, within the limits of this step."""
        r_limit = 1 + (self.limits[0] - 1) * self._relaxed(self.relaxed_at[0])
        d_limit = self.limits[1] * self._relaxed(self.relaxed_at[1])
        scale = (std / self.used_std).clamp(1 / r_limit, r_limit)
        shift = ((mean - self.used_mean) / self.used_std).clamp(-d_limit, d_limit)
        return scale, shift

    def _relaxed(self, end: int) -> Tensor:
        """How far a limit is open at this step, from 0 to 1."""
        if self.exact_batches is not None:
            return torch.zeros_like(self.steps)
        return ((self.steps - self.relax_from) / max(1, end - self.relax_from)).clamp(0, 1)


def batch_renorm(
    *,
    r_max: float = 3.0,
    d_max: float = 5.0,
    relax_from: int = 5000,
    r_max_at: int = 40_000,
    d_max_at: int = 25_000,
    eps: float = 1e-5,
    momentum: float = 0.01,
    affine: bool = True,
) -> Normalizer:
    """Batch renormalization: `batch`, its outputs corrected to those of the running averages.

    y = γ·(r·(x − μ_B)/σ_B + d) + β, with μ_B and σ_B = √(σ² + ε) of the batch, over (N) or
    (N, H, W), and, of the running averages μ and σ before this batch,

        r = σ_B/σ within [1/r_t, r_t],    d = (μ_B − μ)/σ within [−d_t, d_t],

    which take no gradient: they count as constants, though they are none, so that backward is not
    the gradient of forward. Where neither limit binds, y = γ·(x − μ)/σ + β, the function of
    evaluation. The limits open linearly: r_t is 1 and d_t 0, and this is `batch`, up to step
    ``relax_from``; r_t is ``r_max`` from step ``r_max_at``, d_t is ``d_max`` from step ``d_max_at``
    on. Averages: a ← (1 − momentum)·a + momentum·batch value, of μ_B and of σ_B.

    Probes see the step's own r_t, d_t, μ and σ at all the parameters and batches they try.

    Args:
        r_max: largest r, at least 1.
        d_max: largest |d|, at least 0.
        relax_from, r_max_at, d_max_at: training steps of the schedule, counted from 1. The source's
            are for long runs: one of 5,000 steps or fewer is batch normalization by them.
        eps: ε, above 0.
        momentum: weight of the newest batch in the running averages, in [0, 1]. Runs of a few
            hundred steps want more than the source's for r and d, if their limits open so early.
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; in training, if a batch holds one value a channel.

    Cost: no native kernel: some ten operations a step, each a pass over the features.

    Source: Ioffe, NeurIPS 2017; ε is not printed there.
    """
    above_zero(eps=eps)
    within(1, math.inf, r_max=r_max)
    within(0, math.inf, d_max=d_max, relax_from=relax_from)
    within(relax_from, math.inf, r_max_at=r_max_at, d_max_at=d_max_at)
    within(0, 1, momentum=momentum)

    norm = partial(
        BatchRenorm,
        limits=(r_max, d_max),
        relax_from=relax_from,
        relaxed_at=(r_max_at, d_max_at),
        eps=eps,
        momentum=momentum,
    )
    corrects = r_max > 1 or d_max > 0
    traits = Traits(
        batch_dependent=True,
        running_stats=True,
        scale_invariant_weights=not corrects,
        true_gradient=not corrects,
        # The correction brings a bias before back; only β makes it redundant.
        bias_free=affine or not corrects,
    )
    return Normalizer(features=with_affine(norm, affine), traits=traits)
