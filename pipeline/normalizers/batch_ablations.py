"""The two halves of batch normalization: centring alone and scaling alone."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import (
    LinearNorm,
    batch_axes,
    channelwise,
    require_batch,
    require_features,
    with_affine,
    within,
)
from pipeline.normalizers._ops.moments import mean_over, moments_over
from pipeline.normalizers._ops.running_stats import RunningAverages


class Centering(RunningAverages):
    """Subtract the batch mean; see `mean_only`."""

    running_mean: Tensor

    def __init__(self, channels: int, *, momentum: float, affine: bool) -> None:
        super().__init__(momentum, running_mean=torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        mean = self.running_mean
        if self.training:
            require_batch(inputs)
            mean = mean_over(inputs, batch_axes(inputs)).flatten()
            self.average(running_mean=mean)
        shift = -mean if self.bias is None else self.bias - mean
        return inputs + channelwise(shift, inputs)


class Scaling(LinearNorm, RunningAverages):
    """Divide by the batch's standard deviation; see `variance_only`."""

    running_var: Tensor

    def __init__(self, channels: int, *, eps: float, momentum: float) -> None:
        super().__init__(momentum, running_var=torch.ones(channels))
        self.eps = eps

    def coefficients(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """1/√(σ² + ε) and 0 (C)."""
        require_features(inputs)
        variance = self.running_var
        if self.training:
            require_batch(inputs)
            variance = moments_over(inputs, batch_axes(inputs))[1].flatten()
            values = inputs.numel() // inputs.shape[1]
            self.average(running_var=variance * (values / (values - 1)))
        return torch.rsqrt(variance + self.eps), torch.zeros_like(variance)


def mean_only(*, momentum: float = 0.1, affine: bool = True) -> Normalizer:
    """Mean-only batch normalization: zero mean over the batch, per channel, the scale left alone.

    y = x − μ + β, with μ the mean over (N) or (N, H, W). Evaluation uses a running average instead:
    r ← (1 − momentum)·r + momentum·μ. The source joins it with weight normalization, which sets the
    scale: ``[weight_norm, mean_only]``. Alone it leaves deep networks on the plateau of `none`.

    Args:
        momentum: weight of the newest batch in the running average, in [0, 1].
        affine: learn β (from 0) per channel; without, β = 0. There is no γ.

    Raises:
        ValueError: if momentum is out of range; in training, if a batch holds one value a channel.

    Source: Salimans & Kingma, NeurIPS 2016, section 4.
    """
    within(0, 1, momentum=momentum)
    return Normalizer(
        features=lambda channels: Centering(channels, momentum=momentum, affine=affine),
        traits=Traits(batch_dependent=True, running_stats=True, bias_free=True),
    )


def variance_only(*, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> Normalizer:
    """Variance-only batch normalization: unit variance over the batch, per channel, not centred.

    y = γ·x/√(σ² + ε) + β, with σ² the biased variance, around the mean, over (N) or (N, H, W): a
    unit's mean survives, in units of its deviation. Evaluation uses a running average of the
    unbiased variance, as `batch` does.

    Args:
        eps: ε, at least 0.
        momentum: weight of the newest batch in the running average, in [0, 1].
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; in training, if a batch holds one value a channel.

    Cost: no native kernel: some ten operations a step, each a pass over the features.

    Source: none of its own. It is batch normalization (Ioffe & Szegedy, ICML 2015) less its
    centring, the counterpart of `mean_only`: together they say which half does the work.
    """
    within(0, math.inf, eps=eps)
    within(0, 1, momentum=momentum)

    norm = partial(Scaling, eps=eps, momentum=momentum)
    traits = Traits(
        batch_dependent=True, running_stats=True, scale_invariant_weights=True, bias_free=affine
    )
    return Normalizer(features=with_affine(norm, affine), traits=traits)
