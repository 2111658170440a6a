"""Random numbers by counter: functions of a key and an index, the same on every device.

A generator draws one number after another, other numbers on other devices. Here each number is
SplitMix64's i-th output under a key, computed by itself, so numbers of a GPU and a CPU are equal
but for the last bit of a logarithm and a cosine. torch has no unsigned shift, so all is done in
int64, whose arithmetic wraps around.

Source: Steele, Lea & Flood, OOPSLA 2014 (SplitMix64); Box & Muller, Ann. Math. Stat. 29 (1958).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
_MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
_LAST_SHIFT = 31
_BLOCK = {"cpu": 2**14}
"""Numbers made at once: on a CPU as many as its cache holds, which is several times as fast."""


def words(key: int, index: Tensor) -> Tensor:
    """Outputs of SplitMix64 seeded with a key, as 64 bits in int64.

    Args:
        key: in [−2⁶³, 2⁶³).
        index: int64; 0 for the first output.
    """
    state = index.add(1).mul_(_INCREMENT).add_(key)
    for shift, factor in _MIX:
        state.bitwise_xor_(_bits(state, shift, 64 - shift)).mul_(factor)
    return state.bitwise_xor_(_bits(state, _LAST_SHIFT, 64 - _LAST_SHIFT))


def uniform(key: int, count: int, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1): (count) float64, 53 bits of each of the first ``count`` words."""
    drawn = words(key, torch.arange(count, device=device))
    return _bits(drawn, 11, 53).to(torch.float64).mul_(2.0**-53)


def uniform_and_normal(key: int, like: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """A uniform number in [−1, 1) and a standard normal one for every entry of ``like``.

    The entry at the logical index i (the last dimension fastest, whatever the memory format) gets
    both from word ``first`` + i: 20 bits u, 24 bits a, 20 bits b give

        u/2¹⁹ − 1    and    √(−2·ln((a + 1)/2²⁴))·cos(2π·b/2²⁰)

    in float64, cast to the type of ``like`` at the end. So |normal| < 5.8, as it is of torch's
    float32 draws, whose uniform numbers have 24 bits.

    Returns:
        Two tensors of the shape, type and memory format of ``like``.
    """
    places = _places(like).add_(first)
    flat = torch.empty((2, len(places)), dtype=like.dtype, device=like.device)
    size = _BLOCK.get(like.device.type, max(1, len(places)))
    for start in range(0, len(places), size):
        drawn, block = words(key, places[start : start + size]), slice(start, start + size)
        flat[0, block] = _double(drawn, 44, 20).mul_(2.0**-19).sub_(1)
        flat[1, block] = _normal(_double(drawn, 20, 24), _double(drawn, 0, 20))
    return _shaped(flat[0], like), _shaped(flat[1], like)


def _normal(radius: Tensor, angle: Tensor) -> Tensor:
    """Box and Muller's, in place, from whole numbers below 2²⁴ and 2²⁰."""
    length = radius.add_(1).mul_(2.0**-24).log_().mul_(-2).sqrt_()
    return length.mul_(angle.mul_(2 * math.pi * 2.0**-20).cos_())


def _bits(values: Tensor, shift: int, count: int) -> Tensor:
    """``count`` bits from bit ``shift`` on: a logical shift to the right, and a mask."""
    return (values >> shift).bitwise_and_((1 << count) - 1)


def _double(values: Tensor, shift: int, count: int) -> Tensor:
    return _bits(values, shift, count).to(torch.float64)


def _is_channels_last(like: Tensor) -> bool:
    return like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last)


def _places(like: Tensor) -> Tensor:
    """The logical index of every entry, in the order of memory: (numel) int64."""
    places = torch.arange(like.numel(), device=like.device)
    if not _is_channels_last(like):
        return places
    return places.view(like.shape).permute(0, 2, 3, 1).reshape(-1)


def _shaped(flat: Tensor, like: Tensor) -> Tensor:
    """Entries in the order of `_places`, in the shape of ``like``."""
    if not _is_channels_last(like):
        return flat.view(like.shape)
    batch, channels, *sides = like.shape
    return flat.view(batch, *sides, channels).permute(0, 3, 1, 2)
