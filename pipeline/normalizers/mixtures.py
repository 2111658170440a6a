"""Mixtures of normalizations over the batch, the sample and the map, in learned shares."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import (
    LinearNorm,
    above_zero,
    require_batch,
    require_features,
    with_affine,
    within,
)
from pipeline.normalizers._ops.moments import Moments, joined, map_moments
from pipeline.normalizers._ops.running_stats import RunningAverages
from pipeline.normalizers.batch import batch


class SwitchableNorm(LinearNorm, RunningAverages):
    """The normalization of `switchable`, without γ and β."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float, momentum: float) -> None:
        super().__init__(
            momentum, running_mean=torch.zeros(channels), running_var=torch.ones(channels)
        )
        self.eps = eps
        self.mean_shares = nn.Parameter(torch.ones(3))
        self.variance_shares = nn.Parameter(torch.ones(3))

    def coefficients(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Of the mixed moments, 1/√(σ² + ε) and −μ/√(σ² + ε) (N, C)."""
        require_features(inputs)
        means, variances = zip(*self._moments(inputs), strict=True)
        root = torch.rsqrt(_mixed(variances, self.variance_shares) + self.eps)
        return root, -_mixed(means, self.mean_shares) * root

    def _moments(self, inputs: Tensor) -> list[Moments]:
        """Of the map, where it has more than one pixel, of the sample and of the batch."""
        moments = map_moments(inputs)
        single = inputs[0, 0].numel() == 1
        others = [joined(moments, 1), self._batch_moments(inputs, moments)]
        return others if single else [moments, *others]

    def _batch_moments(self, inputs: Tensor, moments: Moments) -> Moments:
        if not self.training:
            return self.running_mean, self.running_var
        require_batch(inputs)
        mean, variance = joined(moments, 0)
        self.average(running_mean=mean[0], running_var=variance[0])
        return mean, variance


class BatchInstanceNorm(LinearNorm, RunningAverages):
    """The normalization of `batch_instance`, with γ and β."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float, momentum: float, affine: bool) -> None:
        super().__init__(
            momentum, running_mean=torch.zeros(channels), running_var=torch.ones(channels)
        )
        self.eps = eps
        self.gate = nn.Parameter(torch.ones(channels))
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def coefficients(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Of the mixture, times γ, with β (N, C)."""
        require_features(inputs)
        if inputs.ndim == 2 or inputs[0, 0].numel() == 1:
            raise ValueError(
                "batch-instance normalization needs maps of more than one pixel, not inputs "
                f"{tuple(inputs.shape)}"
            )
        gate = self._gate()
        of_map = map_moments(inputs)
        scale, shift = (
            gate * batch + (1 - gate) * of_one
            for batch, of_one in zip(
                self._linear(self._batch_moments(inputs, of_map)), self._linear(of_map), strict=True
            )
        )
        if self.weight is None or self.bias is None:
            return scale, shift
        return self.weight * scale, self.weight * shift + self.bias

    def _gate(self) -> Tensor:
        """ρ, clipped."""
        if self.training and self.track_running_stats:
            with torch.no_grad():
                self.gate.clamp_(0, 1)
        # Not clamp, whose gradient at the ends is 0: a gate begins at 1, and must leave it.
        outside = (self.gate < 0) | (self.gate > 1)
        return self.gate.detach().clamp(0, 1).where(outside, self.gate)

    def _linear(self, moments: Moments) -> tuple[Tensor, Tensor]:
        mean, variance = moments
        root = torch.rsqrt(variance + self.eps)
        return root, -mean * root

    def _batch_moments(self, inputs: Tensor, of_map: Moments) -> Moments:
        if not self.training:
            return self.running_mean, self.running_var
        mean, variance = joined(of_map, 0)
        values = inputs.numel() // inputs.shape[1]
        unbiased = variance[0] * (values / (values - 1))
        self.average(running_mean=mean[0], running_var=unbiased)
        return mean, variance


def switchable(*, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> Normalizer:
    """Switchable normalization: moments of map, sample and batch, mixed in learned shares.

    y = γ·(x − Σ w_k·μ_k)/√(Σ w′_k·σ_k² + ε) + β, with μ_k and σ_k² the means and biased variances
    of `instance` (over (H, W)), `layer` (over (C, H, W)) and `batch` (over (N, H, W)), and w and w′
    two softmaxes of three numbers each, learned per layer from equal shares. Vectors (N, C) and
    maps of 1x1 have no moments of their own: there the softmax runs over the other two, as in the
    source's form for vectors. Evaluation takes running averages, r ← (1 − momentum)·r +
    momentum·batch value, of the batch's μ and σ² (biased); the source's paper averages over batches
    after training instead, its code does this by default.

    Args:
        eps: ε, above 0.
        momentum: weight of the newest batch in the running averages, in [0, 1].
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; in training, if a batch holds one value a channel.

    Cost: no native kernel: some fifteen operations a step, each a pass over the features.

    Source: Luo, Ren, Peng, Zhang & Li, ICLR 2019 (2018 as a preprint).
    """
    above_zero(eps=eps)
    within(0, 1, momentum=momentum)

    norm = partial(SwitchableNorm, eps=eps, momentum=momentum)
    traits = Traits(
        batch_dependent=True, running_stats=True, scale_invariant_weights=True, bias_free=affine
    )
    return Normalizer(features=with_affine(norm, affine), traits=traits)


def batch_instance(*, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> Normalizer:
    """Batch-instance normalization: a learned gate between `batch` and `instance`, per channel.

    y = γ·(ρ·x_B + (1 − ρ)·x_I) + β, with x_B and x_I standardized as `batch` and `instance` do
    without their γ and β, and ρ in [0, 1] learned per channel from 1. The source clips ρ after each
    update. Here every training step's forward begins with that clipping, so that the gradient is
    that at the clipped ρ, and whatever else looks at an unclipped ρ uses its clipped value. The
    source trains ρ at ten times the learning rate of the others; here all have the same.

    Args:
        eps: ε, above 0.
        momentum: weight of the newest batch in the running averages of `batch`, in [0, 1].
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; on inputs (N, C) or (N, C, 1, 1).

    Cost: no native kernel: some fifteen operations a step, each a pass over the features.

    Source: Nam & Kim, NeurIPS 2018.
    """
    plain = batch(eps=eps, momentum=momentum, affine=affine).traits
    return Normalizer(
        features=lambda channels: BatchInstanceNorm(
            channels, eps=eps, momentum=momentum, affine=affine
        ),
        traits=replace(plain, minimum_spatial_size=2),
    )


def _mixed(values: tuple[Tensor, ...], shares: Tensor) -> Tensor:
    """Mix by the softmax over the last of the shares, as many as there are values."""
    weights = shares[-len(values) :].softmax(0)
    mixed = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        mixed = mixed + weight * value
    return mixed
