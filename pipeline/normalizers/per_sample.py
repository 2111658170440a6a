"""Normalization within each sample: training and evaluation are the same function."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import Affine, group_count, require_features, within
from pipeline.normalizers._ops.moments import mean_square


class GroupNorm(nn.GroupNorm):
    """Torch's group normalization, refusing what it would turn into constants."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(input)
        if input[0].numel() == self.num_groups:
            raise ValueError(
                "group normalization of one channel a group needs maps of more than one pixel, not "
                f"inputs {tuple(input.shape)}: take fewer groups or larger maps"
            )
        return super().forward(input)


class RMSNorm(nn.Module):
    """Divide each sample by its root mean square; see `rms`."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        axes = tuple(range(1, inputs.ndim))
        return inputs * torch.rsqrt(mean_square(inputs, axes) + self.eps)


def layer(*, eps: float = 1e-5, affine: bool = True) -> Normalizer:
    """Layer normalization: zero mean and unit variance over each sample's features.

    y = γ·(x − μ)/√(σ² + ε) + β, with μ and σ² the mean and the biased variance over (C) or
    (C, H, W) of one sample. γ and β are per channel; the source has them per neuron, which for maps
    would tie a network to one image size.

    Args:
        eps: ε, at least 0.
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if ε is negative.

    Source: Ba, Kiros & Hinton, 2016.
    """
    within(0, math.inf, eps=eps)
    return Normalizer(
        features=lambda channels: GroupNorm(1, channels, eps, affine),
        traits=Traits(scale_invariant_weights=True, bias_free=affine),
    )


def instance(*, eps: float = 1e-5, affine: bool = True) -> Normalizer:
    """Instance normalization: zero mean and unit variance over each map of each sample.

    y = γ·(x − μ)/√(σ² + ε) + β, with μ and σ² the mean and the biased variance over (H, W) of one
    channel of one sample. There is nothing to average over in (N, C) or in maps of 1x1.

    Args:
        eps: ε, at least 0.
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if ε is negative; on inputs (N, C) or (N, C, 1, 1).

    Cost: torch's kernel; on a CPU it takes maps in channels-last order a channel at a time.

    Source: Ulyanov, Vedaldi & Lempitsky, 2016.
    """
    within(0, math.inf, eps=eps)
    return Normalizer(
        features=lambda channels: GroupNorm(channels, channels, eps, affine),
        traits=Traits(scale_invariant_weights=True, bias_free=True, minimum_spatial_size=2),
    )


def group(
    *,
    groups: int = 32,
    channels_per_group: int | None = None,
    eps: float = 1e-5,
    affine: bool = True,
) -> Normalizer:
    """Group normalization: zero mean and unit variance over groups of channels of each sample.

    y = γ·(x − μ)/√(σ² + ε) + β, with μ and σ² the mean and the biased variance over a group of
    consecutive channels, (C/groups) or (C/groups, H, W), of one sample; γ and β are per channel.

    Args:
        groups: number of groups; it must divide every channel count of the network.
        channels_per_group: size of a group instead; then ``groups`` is not used.
        eps: ε, at least 0.
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; if a channel count does not divide into such
            groups; on inputs with one value a group.

    Cost: torch's kernel; on a CPU it takes maps in channels-last order a few channels at a time.

    Source: Wu & He, ECCV 2018, where 32 groups, or 16 channels a group, did best.
    """
    within(0, math.inf, eps=eps)
    within(1, math.inf, groups=groups)
    if channels_per_group is not None:
        within(1, math.inf, channels_per_group=channels_per_group)

    def features(channels: int) -> nn.Module:
        count = group_count("group", channels, groups, channels_per_group)
        return GroupNorm(count, channels, eps, affine)

    smallest = 2 if channels_per_group == 1 else 1
    return Normalizer(
        features=features,
        traits=Traits(
            scale_invariant_weights=True, bias_free=affine, minimum_spatial_size=smallest
        ),
    )


def rms(*, eps: float = 1e-5, affine: bool = True) -> Normalizer:
    """RMS normalization: each sample divided by its root mean square, its mean left in.

    y = γ·x/√(mean x² + ε), the mean over (C) or (C, H, W) of one sample, the axes of `layer`. γ is
    per channel, and there is no shift, so weight layers keep their biases, which enter the norm.

    Args:
        eps: ε, at least 0. The source prints none; this is that of the other normalizers.
        affine: learn γ (from 1) per channel; without, γ = 1.

    Raises:
        ValueError: if ε is negative.

    Cost: no native kernel: some ten operations a step, each a pass over the features.

    Source: Zhang & Sennrich, NeurIPS 2019.
    """
    within(0, math.inf, eps=eps)

    def features(channels: int) -> nn.Module:
        norm = RMSNorm(eps)
        return nn.Sequential(norm, Affine(channels, shift=False)) if affine else norm

    return Normalizer(features=features, traits=Traits(scale_invariant_weights=True))
