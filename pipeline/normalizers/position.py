"""Normalization over the channels at every position of a map."""

from __future__ import annotations

import math

from torch import Tensor, nn

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import require_features, within


class PixelNorm(nn.LayerNorm):
    """Torch's layer normalization, of the channels at every position."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(input)
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def layer_per_pixel(*, eps: float = 1e-6, affine: bool = True) -> Normalizer:
    """Layer normalization per pixel: zero mean and unit variance over the channels of a position.

    y = γ·(x − μ)/√(σ² + ε) + β, with μ and σ² the mean and the biased variance over (C) at every
    position of every sample. Vision transformers and ConvNeXt call this layer normalization, where
    `layer` takes the whole map. On (N, C) the two agree.

    Args:
        eps: ε, at least 0; the default is that of both.
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if ε is negative; on a single channel.

    Source: Ba, Kiros & Hinton, 2016; on maps: Liu et al. (ConvNeXt), CVPR 2022.
    """
    within(0, math.inf, eps=eps)
    return Normalizer(
        features=lambda channels: _over_channels(channels, eps, affine),
        traits=Traits(scale_invariant_weights=True, bias_free=affine),
    )


def position(*, eps: float = 1e-5) -> Normalizer:
    """Positional normalization: `layer_per_pixel` without γ and β.

    y = (x − μ)/√(σ² + ε), with μ and σ² as in `layer_per_pixel`. The source hands μ and σ of an
    encoder on to a decoder in place of γ and β (its moment shortcut); a classifier has no decoder,
    and that part is not done. Its printed σ² is the biased one; its PyTorch code has the unbiased.

    Args:
        eps: ε, at least 0.

    Raises:
        ValueError: if ε is negative; on a single channel.

    Source: Li, Wu, Weinberger & Belongie, NeurIPS 2019.
    """
    within(0, math.inf, eps=eps)
    return Normalizer(
        features=lambda channels: _over_channels(channels, eps, affine=False),
        traits=Traits(scale_invariant_weights=True),
    )


def _over_channels(channels: int, eps: float, affine: bool) -> nn.Module:
    if channels == 1:
        raise ValueError("normalization over channels needs at least 2 channels, not 1")
    return PixelNorm(channels, eps=eps, elementwise_affine=affine)
