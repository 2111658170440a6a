"""What several normalizers need: checks, groups, reparametrization, a per-channel affine map."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


def within(low: float, high: float, **options: float) -> None:
    """Check that options lie in [low, high].

    Raises:
        ValueError: naming the first that does not.
    """
    wanted = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
    for name, value in options.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be {wanted}, not {value:g}")


def above_zero(**options: float) -> None:
    """Check that options are above 0.

    Raises:
        ValueError: naming the first that is not.
    """
    for name, value in options.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, not {value:g}")


def require_features(inputs: Tensor) -> None:
    """Check that inputs are (N, C) or (N, C, H, W).

    Raises:
        ValueError: if they are not.
    """
    if inputs.ndim not in (2, 4):
        shape = tuple(inputs.shape)
        raise ValueError(f"a normalizer needs inputs (N, C) or (N, C, H, W), not {shape}")


def group_count(name: str, channels: int, groups: int, channels_per_group: int | None) -> int:
    """Count the groups into which channels divide: ``groups``, or groups of a size if one is given.

    Raises:
        ValueError: if they do not, with the nearest that would.
    """
    if channels_per_group is None:
        return _divides(name, channels, groups, f"{groups} groups")
    return channels // _divides(
        name, channels, channels_per_group, f"groups of {channels_per_group}"
    )


def _divides(name: str, channels: int, divisor: int, wanted: str) -> int:
    """Return the divisor, or say which divisors of the channel count are nearest to it."""
    if channels % divisor == 0:
        return divisor
    divisors = [number for number in range(1, channels + 1) if channels % number == 0]
    below = max(number for number in divisors if number < divisor)
    above = min((number for number in divisors if number > divisor), default=None)
    near = f"{below}" if above is None else f"{below} or {above}"
    raise ValueError(
        f"{name}: {channels} channels do not divide into {wanted}; the nearest that fits is {near}"
    )


def reparametrized(module: nn.Module, function: nn.Module, *, fan_in: int = 1) -> nn.Module:
    """Put the function before the weight, which must have at least ``fan_in`` entries a unit.

    Raises:
        ValueError: if the weight has fewer, or is reparametrized already.
    """
    if parametrize.is_parametrized(module, "weight"):
        raise ValueError("at most one normalizer of a composition may act on the weights")
    shape = tuple(module.get_parameter("weight").shape)
    if math.prod(shape[1:]) < fan_in:
        raise ValueError(
            f"a weight normalizer needs at least {fan_in} weights a unit, but a layer's are of "
            f"shape {shape}: take larger kernels or more channels"
        )
    parametrize.register_parametrization(module, "weight", function)
    return module


def require_batch(inputs: Tensor) -> None:
    """Check that inputs are features with something to average over.

    Raises:
        ValueError: if they are not (N, C) or (N, C, H, W), or hold one value per channel.
    """
    require_features(inputs)
    if inputs.numel() == inputs.shape[1]:
        raise ValueError("a batch needs more than one value per channel to be normalized")


def batch_axes(inputs: Tensor) -> tuple[int, ...]:
    """All axes of (N, C) or (N, C, H, W) but the channels'."""
    return (0, *range(2, inputs.ndim))


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
        weight = channelwise(self.weight, inputs)
        if self.bias is None:
            return inputs * weight
        return torch.addcmul(channelwise(self.bias, inputs), inputs, weight)


class LinearNorm(nn.Module):
    """y = a·x + b in one pass, with a and b per channel, and perhaps per sample, of statistics."""

    def coefficients(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """a and b, each (C) or (N, C), of (N, C) or (N, C, H, W)."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        return _linear(inputs, *self.coefficients(inputs))


class _LinearAffine(nn.Sequential):
    """A `LinearNorm` and an `Affine`, joined into one pass: (γ·a)·x + (γ·b + β)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        norm, affine = cast("tuple[LinearNorm, Affine]", tuple(self))
        scale, shift = norm.coefficients(input)
        shift = affine.weight * shift
        return _linear(
            input, affine.weight * scale, shift if affine.bias is None else shift + affine.bias
        )


def with_affine(make: Callable[[int], nn.Module], affine: bool) -> Callable[[int], nn.Module]:
    """C → a feature module, with γ and β per channel after it or alone."""

    def features(channels: int) -> nn.Module:
        norm = make(channels)
        if not affine:
            return norm
        joined = _LinearAffine if isinstance(norm, LinearNorm) else nn.Sequential
        return joined(norm, Affine(channels))

    return features


def _linear(inputs: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """a·x + b, for a and b (C) or (N, C)."""
    places = [1] * (inputs.ndim - 2)
    scale, shift = (c.view(-1, inputs.shape[1], *places) for c in (scale, shift))
    return torch.addcmul(shift, inputs, scale)
