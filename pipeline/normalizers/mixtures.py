"""Mixtures of normalizations over the batch, the sample and the map, in learned shares."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._common import (
    above_zero,
    channelwise,
    followed_by_affine,
    require_batch,
    require_features,
    within,
)
from pipeline.normalizers._moments import Moments, joined, of_maps
from pipeline.normalizers._running import RunningAverages
from pipeline.normalizers.batch import BatchNorm, batch


class SwitchableNorm(RunningAverages):
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

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        means, variances = zip(*self._moments(inputs), strict=True)
        unit = (*inputs.shape[:2], *[1] * (inputs.ndim - 2))
        mean = _mixed(means, self.mean_shares).view(unit)
        variance = _mixed(variances, self.variance_shares).view(unit)
        return (inputs - mean) * torch.rsqrt(variance + self.eps)

    def _moments(self, inputs: Tensor) -> list[Moments]:
        """Of the map, where it has more than one pixel, of the sample and of the batch."""
        moments = of_maps(inputs)
        single = inputs[0, 0].numel() == 1
        others = [joined(moments, 1), self._of_batch(inputs, moments)]
        return others if single else [moments, *others]

    def _of_batch(self, inputs: Tensor, moments: Moments) -> Moments:
        if not self.training:
            return self.running_mean, self.running_var
        require_batch(inputs)
        mean, variance = joined(moments, 0)
        self.average(running_mean=mean[0], running_var=variance[0])
        return mean, variance


class BatchInstanceNorm(BatchNorm):
    """The normalization of `batch_instance`; γ, where there is one, scales both parts."""

    def __init__(self, channels: int, *, eps: float, momentum: float, affine: bool) -> None:
        super().__init__(channels, eps=eps, momentum=momentum, affine=affine)
        self.gate = nn.Parameter(torch.ones(channels))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        require_features(input)
        if input.ndim == 2 or input[0, 0].numel() == 1:
            raise ValueError(
                "batch-instance normalization needs maps of more than one pixel, not inputs "
                f"{tuple(input.shape)}"
            )
        if self.training and self.track_running_stats:
            with torch.no_grad():
                self.gate.clamp_(0, 1)
        # Not clamp, whose gradient at the ends is 0: a gate begins at 1, and must leave it.
        outside = (self.gate < 0) | (self.gate > 1)
        gate = self.gate.detach().clamp(0, 1).where(outside, self.gate)
        gain = 1 if self.weight is None else self.weight
        of_map = functional.group_norm(input, input.shape[1], eps=self.eps)
        return self._of_batch(input, gain * gate) + channelwise(gain * (1 - gate), input) * of_map

    def _of_batch(self, inputs: Tensor, gain: Tensor) -> Tensor:
        moving = self.track_running_stats or not self.training
        averages = (self.running_mean, self.running_var) if moving else (None, None)
        return functional.batch_norm(
            inputs, *averages, gain, self.bias, self.training, self.momentum or 0.0, self.eps
        )


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

    Source: Luo, Ren, Peng, Zhang & Li, ICLR 2019 (2018 as a preprint).
    """
    above_zero(eps=eps)
    within(0, 1, momentum=momentum)

    def features(channels: int) -> nn.Module:
        norm = SwitchableNorm(channels, eps=eps, momentum=momentum)
        return followed_by_affine(norm, channels, affine)

    traits = Traits(
        batch_dependent=True, running_stats=True, scale_invariant_weights=True, bias_free=affine
    )
    return Normalizer(features=features, traits=traits)


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
