"""Dynamic erf, a bounded function in place of a normalizer; `dynamic_tanh` is its predecessor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import Affine, require_features


class DynamicErf(nn.Module):
    """erf(α·x + s), with two learned scalars α and s."""

    def __init__(self, alpha: float, shift: float) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha))
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        return torch.erf(self.alpha * inputs + self.shift)


def derf(*, alpha: float = 0.5, shift: float = 0.0) -> Normalizer:
    """Dynamic erf (Derf): a learned, shifted squashing in place of layer normalization.

    y = γ·erf(α·x + s) + β, with one scalar α and one scalar s per layer, γ (from 1) and β (from 0)
    per channel. erf(z) = 2/√π · ∫₀ᶻ exp(−t²) dt. It takes no statistics. The source replaces the
    layer normalization of transformers. At α = 1/2 the slope at 0 is 1/√π = 0.56, where that of
    `dynamic_tanh` is 0.5.

    Args:
        alpha: where α starts, above 0.
        shift: where s starts.

    Raises:
        ValueError: if alpha is not above 0.

    Cost: as `dynamic_tanh`; erf is one native operation.

    Source: Chen, Lu, Zhu, Sun & Liu, "Stronger Normalization-Free Transformers", 2025, arXiv
    2512.10938.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, not {alpha:g}")
    return Normalizer(
        features=lambda channels: nn.Sequential(DynamicErf(alpha, shift), Affine(channels)),
        traits=Traits(bias_free=True),
    )
