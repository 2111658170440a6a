"""Power normalization: by the running statistics of the batches before."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import (
    above_zero,
    batch_axes,
    channelwise,
    require_batch,
    require_features,
    with_affine,
    within,
)
from pipeline.normalizers._ops.custom_backward_division import Divide
from pipeline.normalizers._ops.running_stats import SteppedAverages


class PowerNorm(SteppedAverages):
    """The normalization of `power_norm`, without γ and β."""

    running_square: Tensor
    used_square: Tensor
    running_gradient: Tensor
    used_gradient: Tensor

    def __init__(
        self, channels: int, *, warmup: int, eps: float, momentum: float, backward_momentum: float
    ) -> None:
        super().__init__(momentum, square=torch.ones(channels), gradient=torch.zeros(channels))
        self.warmup, self.eps, self.backward_momentum = warmup, eps, backward_momentum

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        if not self.training:
            return inputs * channelwise(torch.rsqrt(self.running_square + self.eps), inputs)
        require_batch(inputs)
        self.begin()
        mean_square = inputs.detach().square().mean(batch_axes(inputs))
        self.average(running_square=mean_square)
        square = self.used_square.where(self.past(self.warmup), mean_square)
        coefficient = partial(self._coefficient, track=self.track_running_stats)
        deviation = (square + self.eps).sqrt()
        return Divide.apply(inputs, deviation, torch.ones_like(deviation), coefficient)

    def _coefficient(self, gradients: Tensor, outputs: Tensor, *, track: bool) -> Tensor:
        """ν of the step before; this step's is made of it and kept."""
        if track:
            axes, used = batch_axes(outputs), self.used_gradient
            change = (gradients * outputs).mean(axes) - used * outputs.square().mean(axes)
            self.running_gradient.copy_(used + self.backward_momentum * change.detach())
        return self.used_gradient


def power_norm(
    *,
    warmup: int = 100,
    eps: float = 1e-5,
    momentum: float = 0.1,
    backward_momentum: float = 0.1,
    affine: bool = True,
) -> Normalizer:
    """Power normalization: divided by a running root mean square, that of the batches before.

    y = γ·z + β, z = x/√(ψ² + ε), with ψ² a running average, before this batch, of mean x² over (N)
    or (N, H, W): ψ² ← (1 − momentum)·ψ² + momentum·mean x². Evaluation takes the newest ψ². ψ does
    not depend on the batch, but backward is not the gradient of forward: for g = ∂L/∂z it gives

        ∂L/∂x = (g − ν·z)/√(ψ² + ε),    ν ← ν + backward_momentum·(mean g·z − ν·mean z²),

    ν likewise before this batch, from 0. Up to step ``warmup``, ψ² is that of the batch. The source
    divides by the root mean square of each sample first: ``[rms, power]``.

    The authors' code (sIncerass/powernorm, mask_powernorm.py) has the same backward, its ``ema_gz``
    being ν/backward_momentum; but it divides the gradient by the root mean square of the batch,
    where this divides by ψ, as they print it. In its warm-up it also averages ψ² twice a step.

    Probes see the step's own ψ² and ν.

    Args:
        warmup: training steps, counted from 1. The printed algorithm has none; the authors'
            code has one as long as the warmup of its learning rate, thousands of steps.
        eps: ε, above 0.
        momentum: weight of the newest batch in ψ², in [0, 1].
        backward_momentum: weight of the newest batch in ν, in [0, 1].
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; in training, if a batch holds one value a channel.

    Cost: no native kernel: some ten passes over the features.

    Source: Shen, Yao, Gholami, Mahoney & Keutzer, ICML 2020.
    """
    above_zero(eps=eps)
    within(0, 1, momentum=momentum, backward_momentum=backward_momentum)
    within(0, math.inf, warmup=warmup)

    norm = partial(
        PowerNorm,
        warmup=warmup,
        eps=eps,
        momentum=momentum,
        backward_momentum=backward_momentum,
    )
    return Normalizer(
        features=with_affine(norm, affine),
        traits=Traits(
            batch_dependent=warmup > 0, running_stats=True, true_gradient=False, bias_free=affine
        ),
    )
