"""Dynamic inverse square root unit: root mean square normalization taken element by element."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import Affine, above_zero, require_features


class DynamicInverseRoot(nn.Module):
    """√C·x/√(β + x²), with one learned scalar β = exp b."""

    def __init__(self, channels: int, beta: float) -> None:
        super().__init__()
        self.scale = math.sqrt(channels)
        self.log_beta = nn.Parameter(torch.tensor(math.log(beta)))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        return self.scale * inputs * torch.rsqrt(self.log_beta.exp() + inputs.square())


def dyisru(*, beta: float | None = None) -> Normalizer:
    """Dynamic inverse square root unit (DyISRU): a bounded function in place of a normalizer.

    y = γ·√C·x/√(β + x²) + δ, with one scalar β per layer, γ (from 1) and δ (from 0) per channel.
    Root mean square normalization of one value x among C channels is √C·x/√(r + x²), r being the
    sum of the squares of the other channels. Here a learned β stands for r, so that no statistics
    are taken. |y| stays below √C, as that of the normalization does. `dynamic_tanh` approximates
    the same function.

    Args:
        beta: where β starts, above 0. Null: C − 1, the value of r where the other channels have
            mean square 1, and at least 1. The source trains no network, and leaves this open.

    Raises:
        ValueError: if beta is not above 0.

    β is learned as its logarithm, so that it stays above 0.

    Cost: as `dynamic_tanh`; a square, a root and a division per value.

    Source: Stollenwerk, "On the Mathematical Relationship Between Layer Normalization and Dynamic
    Activation Functions", 2025, arXiv 2503.21708.
    """
    if beta is not None:
        above_zero(beta=beta)

    def features(channels: int) -> nn.Module:
        start = max(channels - 1.0, 1.0) if beta is None else beta
        return nn.Sequential(DynamicInverseRoot(channels, start), Affine(channels))

    return Normalizer(features=features, traits=Traits(bias_free=True))
