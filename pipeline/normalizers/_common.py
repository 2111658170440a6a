"""What several normalizers need: checks of options and inputs, and a per-channel affine map."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def within(low: float, high: float, **options: float) -> None:
    """Check that options lie in [low, high].

    Raises:
        ValueError: naming the first that does not.
    """
    wanted = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
    for name, value in options.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be {wanted}, not {value:g}")


def require_features(inputs: Tensor) -> None:
    """Check that inputs are (N, C) or (N, C, H, W).

    Raises:
        ValueError: if they are not.
    """
    if inputs.ndim not in (2, 4):
        shape = tuple(inputs.shape)
        raise ValueError(f"a normalizer needs inputs (N, C) or (N, C, H, W), not {shape}")


def channelwise(vector: Tensor, inputs: Tensor) -> Tensor:
    """View (C,) so that it broadcasts along the channels of (N, C) or (N, C, H, W)."""
    return vector.view(1, -1, *[1] * (inputs.ndim - 2))


class Affine(nn.Module):
    """y = γ·x + β per channel; γ starts at 1 and β, where there is one, at 0."""

    def __init__(self, channels: int, *, shift: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if shift else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Scale and shift (N, C) or (N, C, H, W)."""
        scaled = inputs * channelwise(self.weight, inputs)
        return scaled if self.bias is None else scaled + channelwise(self.bias, inputs)
