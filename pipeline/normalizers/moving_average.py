"""Batch normalization by the statistics of the last batches, forward and backward."""

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


class MovingAverageNorm(SteppedAverages):
    """The normalization of `moving_average_batch`, without γ and β."""

    running_square: Tensor
    used_square: Tensor
    squares: Tensor
    """Mean square of each of the newest batches, (window, C), in a ring."""
    gradients: Tensor
    """Mean of g·z of each of them, likewise."""

    def __init__(
        self,
        channels: int,
        *,
        window: int,
        warmup: int,
        r_max: float,
        r_from: int,
        eps: float,
        momentum: float,
    ) -> None:
        super().__init__(momentum, square=torch.ones(channels))
        self.window, self.warmup = window, max(window, warmup)
        self.r_max, self.r_from, self.eps = r_max, max(self.warmup, r_from), eps
        self.register_buffer("squares", torch.zeros(window, channels))
        self.register_buffer("gradients", torch.zeros(window, channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        if not self.training:
            return inputs * channelwise(torch.rsqrt(self.running_square + self.eps), inputs)
        require_batch(inputs)
        self.begin()
        mean_square = inputs.detach().square().mean(batch_axes(inputs))
        square = self._windowed("squares", mean_square, self.track_running_stats)
        self.average(running_square=square)
        deviation = (square + self.eps).sqrt()
        ratio = deviation / (self.used_square + self.eps).sqrt()
        ratio = ratio.clamp(1 / self.r_max, self.r_max).where(self.past(self.r_from), 1.0)
        coefficient = partial(self._coefficient, track=self.track_running_stats)
        return Divide.apply(inputs, deviation, ratio, coefficient)

    def _coefficient(self, gradients: Tensor, outputs: Tensor, *, track: bool) -> Tensor:
        newest = (gradients * outputs).mean(batch_axes(outputs))
        return self._windowed("gradients", newest, track)

    def _windowed(self, name: str, newest: Tensor, track: bool) -> Tensor:
        """Mean over the window with this step's value in its place, or that alone at the start."""
        ring = self.get_buffer(name)
        place = torch.arange(self.window, device=ring.device) == self.steps % self.window
        values = newest.where(place[:, None], ring)
        if track:
            ring.copy_(values.detach())
        return values.mean(0).where(self.past(self.warmup), newest)


def moving_average_batch(
    *,
    window: int = 16,
    warmup: int = 100,
    r_max: float = 5.0,
    r_from: int = 1000,
    eps: float = 1e-5,
    momentum: float = 0.02,
    affine: bool = True,
) -> Normalizer:
    """Moving-average batch normalization: divided by the root mean square of the last batches.

    y = γ·r·z + β, z = x/√(s + ε), with s the mean over the ``window`` newest batches of mean x²
    over (N) or (N, H, W), nothing subtracted, and r = √((s + ε)/(a + ε)) within [1/r_max, r_max],
    a the running average of s before this batch: a ← (1 − momentum)·a + momentum·s. Evaluation
    takes y = γ·x/√(a + ε) + β. Backward is not the gradient of forward: for g = ∂L/∂z it gives

        ∂L/∂x = (g − Ψ·z)/√(s + ε),    Ψ = mean over the ``window`` newest batches of mean g·z,

    and r is a constant. Up to step max(window, warmup), s and Ψ are those of the batch alone, whose
    backward is the gradient; up to step max(r_from, window, warmup), r = 1. The source centres the
    weights as well: compose it with a normalizer of weights that does. Forward and backward are
    those of the authors' code (megvii-model/MABN, MABN.py). Its schedule is the same, but that its
    warm-up ends at step max(window, warmup − 1), and r does not wait for the window.

    Probes see the step's own a and past batches, the newest replaced by what they try.

    Args:
        window: batches in s and Ψ, at least 1: the source takes 16 of 2 samples a device.
        warmup, r_from: training steps, counted from 1.
        r_max: largest r, at least 1.
        eps: ε, above 0; part of neither s nor a.
        momentum: weight of the newest s in a, in [0, 1]. Runs of a few hundred steps want more than
            the source's for r, whose a still holds its start.
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; in training, if a batch holds one value a channel.

    Cost: no native kernel: some ten passes over the features.

    Source: Yan et al., ICLR 2020; the schedule is that of the authors' code.
    """
    above_zero(eps=eps)
    within(0, 1, momentum=momentum)
    within(1, math.inf, window=window, r_max=r_max)
    within(0, math.inf, warmup=warmup, r_from=r_from)

    norm = partial(
        MovingAverageNorm,
        window=window,
        warmup=warmup,
        r_max=r_max,
        r_from=r_from,
        eps=eps,
        momentum=momentum,
    )
    return Normalizer(
        features=with_affine(norm, affine),
        traits=Traits(
            batch_dependent=True, running_stats=True, true_gradient=False, bias_free=affine
        ),
    )
