"""What architectures for images share: widths, resolutions, checks and the averaging head."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import nn

from pipeline.architectures import chain
from pipeline.data import Task
from pipeline.normalizers import Normalizer


def scaled(channels: int, width: float) -> int:
    """Multiply a channel count by the width.

    Width 1 keeps the source's count. Any other gives the nearest multiple of 4, at least 4, so that
    narrow networks can still be normalized in groups of channels.

    Raises:
        ValueError: if the width is not a positive, finite number.
    """
    if not 0 < width < math.inf:
        raise ValueError(f"width must be a positive number, not {width}")
    return channels if width == 1 else max(4, 4 * math.floor(channels * width / 4 + 0.5))


Size = tuple[int, int]
"""Height and width of a map, in pixels."""


class Resolution(NamedTuple):
    """A part of a network that works on maps of one size."""

    stride: int
    """Of the pooling or convolution that leads into this part: 1 or 2."""
    size: Size


def image_shape(architecture: str, task: Task) -> tuple[int, Size]:
    """Channels and size of the task's images.

    Raises:
        ValueError: if its inputs are not images.
    """
    if len(task.input_shape) != 3:
        raise ValueError(
            f"{architecture} needs images, of shape (channels, height, width); "
            f"this data's inputs have shape {task.input_shape}"
        )
    channels, height, width = task.input_shape
    return channels, (height, width)


def resolutions(size: Size, count: int, *, padded: bool) -> list[Resolution]:
    """Resolutions of ``count`` consecutive parts, each half the one before.

    A halving that would leave less than 2x2 is left out: that part has stride 1. A padded halving
    (a same-padded convolution) rounds odd sizes up, the others (2x2 pooling) round them down.
    """
    found = [Resolution(1, size)]
    while len(found) < count:
        height, width = ((side + padded) // 2 for side in found[-1].size)
        fits = min(height, width) >= 2
        found.append(Resolution(2, (height, width)) if fits else Resolution(1, found[-1].size))
    return found


def require_maps(architecture: str, norm: Normalizer, smallest: Size) -> None:
    """Check that the smallest map a network normalizes is large enough for the normalizer.

    Raises:
        ValueError: if it is not.
    """
    least = norm.traits.minimum_spatial_size
    if min(smallest) < least:
        raise ValueError(
            f"{architecture} on this data normalizes maps of {smallest[0]}x{smallest[1]} pixels, "
            f"but the normalizer needs at least {least}x{least}: take larger images, an "
            "architecture that halves them less often, or another normalizer"
        )


def classifier(channels: int, outputs: int) -> nn.Sequential:
    """Average each of C maps, then one linear layer with a bias: (N, C, H, W) → (N, outputs)."""
    return chain(
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        linear=nn.Linear(channels, outputs),
    )
