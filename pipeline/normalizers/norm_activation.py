"""Normalization with an activation of its own, which takes the place of the ReLU."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipeline.normalizers import Normalizer, Traits, identity
from pipeline.normalizers._ops.common import channelwise, group_count, require_features, within
from pipeline.normalizers._ops.moments import joined, map_moments, mean_square


class FilterResponse(nn.Module):
    """γ·x over the root mean square of each map of each sample, + β; see `filter_response`."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        require_features(inputs)
        if inputs.ndim == 2 or inputs[0, 0].numel() == 1:
            raise ValueError(
                "filter response normalization needs maps of more than one pixel, not inputs "
                f"{tuple(inputs.shape)}: of a single one it would leave the sign"
            )
        root = torch.rsqrt(mean_square(inputs, (2, 3)) + self.eps)
        scale = channelwise(self.weight, inputs) * root
        return torch.addcmul(channelwise(self.bias, inputs), inputs, scale)


class ThresholdedLinear(nn.Module):
    """max(x, τ), τ learned per channel from 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        # Several times as fast as maximum; and minus would negate all of the gradient.
        lowered = inputs + channelwise(-self.threshold, inputs)
        return torch.relu(lowered) + channelwise(self.threshold, inputs)


class EvoNormS0(nn.Module):
    """γ·x·sigmoid(v·x) over the standard deviation of a group, + β; see `evonorm_s0`."""

    def __init__(self, channels: int, groups: int, eps: float) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.slope = nn.Parameter(torch.ones(channels))
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        if inputs[0].numel() == self.groups:
            raise ValueError(
                "evonorm_s0 of one channel a group needs maps of more than one pixel, not inputs "
                f"{tuple(inputs.shape)}: take fewer groups or larger maps"
            )
        swished = inputs * torch.sigmoid(channelwise(self.slope, inputs) * inputs)
        scale = self.weight * torch.rsqrt(self._variance(inputs) + self.eps)
        scale = scale.view(*scale.shape, *[1] * (inputs.ndim - 2))
        return torch.addcmul(channelwise(self.bias, inputs), swished, scale)

    def _variance(self, inputs: Tensor) -> Tensor:
        """(N, C): of every channel's group, from the moments of its maps."""
        size = inputs.shape[1] // self.groups
        mean, variance = (m.unflatten(1, (self.groups, size)) for m in map_moments(inputs))
        return joined((mean, variance), 2)[1].expand_as(mean).flatten(1)


def filter_response(*, eps: float = 1e-6) -> Normalizer:
    """Filter response normalization: each map divided by its root mean square, then thresholded.

    y = γ·x/√(mean x² + ε) + β, the mean over (H, W) of one channel of one sample, γ (from 1) and β
    (from 0) per channel. The activation behind it is not ReLU but max(y, τ) (the source's TLU), τ
    learned per channel from 0, wherever the network has an activation.

    There is nothing to average over in (N, C) or in maps of 1x1; the source's way out, a learned ε,
    is not done.

    Args:
        eps: ε, at least 0.

    Raises:
        ValueError: if ε is negative; on inputs (N, C) or (N, C, 1, 1).

    Cost: no native kernel: some fifteen operations a step, each a pass over the features.

    Source: Singh & Krishnan, CVPR 2020.
    """
    within(0, math.inf, eps=eps)
    return Normalizer(
        features=lambda channels: FilterResponse(channels, eps),
        activation=ThresholdedLinear,
        traits=Traits(scale_invariant_weights=True, bias_free=True, minimum_spatial_size=2),
    )


def evonorm_s0(
    *, groups: int = 32, channels_per_group: int | None = None, eps: float = 1e-5
) -> Normalizer:
    """EvoNorm-S0: normalization and activation in one, found by search.

    y = γ·x·sigmoid(v·x)/√(σ² + ε) + β, with σ² the biased variance over a group of consecutive
    channels, (C/groups) or (C/groups, H, W), of one sample; v (from 1), γ (from 1) and β (from 0)
    per channel. The whole of it stands at the normalizer's place, and nothing at the activation's.
    So it also ends a residual branch, where the source takes γ·x + β, and nothing follows the
    addition; and what probes see before an "activation" is its output.

    Args:
        groups: number of groups; it must divide every channel count of the network.
        channels_per_group: size of a group instead; then ``groups`` is not used.
        eps: ε, at least 0.

    Raises:
        ValueError: if an option is out of range; if a channel count does not divide into such
            groups; on inputs with one value a group.

    Cost: no native kernel: some twenty passes over the features, a sigmoid among them.

    Source: Liu, Brock, Simonyan & Le, NeurIPS 2020.
    """
    within(0, math.inf, eps=eps)
    within(1, math.inf, groups=groups)
    if channels_per_group is not None:
        within(1, math.inf, channels_per_group=channels_per_group)

    def features(channels: int) -> nn.Module:
        count = group_count("evonorm_s0", channels, groups, channels_per_group)
        return EvoNormS0(channels, count, eps)

    smallest = 2 if channels_per_group == 1 else 1
    return Normalizer(
        features=features,
        activation=identity,
        traits=Traits(bias_free=True, minimum_spatial_size=smallest),
    )
