"""Encoded images (PNG, JPEG, whatever pillow reads) to one uint8 array."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BLOCK = 256
_GREY = ("1", "L")
_log = logging.getLogger(__name__)


class Encoded(NamedTuple):
    """One image file: its bytes, or where they lie, or None where they are missing."""

    name: str
    """What an error calls it: file, column, row."""
    data: bytes | Path | None


def decode(images: Sequence[Encoded], *, size: int | None = None) -> NDArray[np.uint8]:
    """Decode images to (N, C, H, W), in threads (pillow frees the interpreter while it decodes).

    C is 1 if every image is grey, else 3. Palette, CMYK and other modes are converted to RGB, an
    alpha channel is dropped, and the log says how many were.

    Args:
        images: at least one image.
        size: resize to (size, size), bilinear and antialiased, the aspect ratio not kept; without
            it all images must have one size.

    Raises:
        ValueError: naming the image that is missing, no image, not of 8 bits or of another size.
    """
    blocks = [images[i : i + _BLOCK] for i in range(0, len(images), _BLOCK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = pool.map(lambda block: [_decode(image, size) for image in block], blocks)
        modes, arrays = zip(*(pair for block in decoded for pair in block), strict=True)
    _say_conversions(Counter(modes), len(images))
    _check_sizes(images, arrays)
    grey = all(array.ndim == 2 for array in arrays)
    return np.stack([_channels_first(array, grey) for array in arrays])


def _decode(image: Encoded, size: int | None) -> tuple[str, NDArray[np.uint8]]:
    """Return the file's mode and its pixels: (H, W) if grey, else (H, W, 3)."""
    if image.data is None:
        raise ValueError(f"{image.name}: no image bytes are stored there")
    source = image.data if isinstance(image.data, Path) else BytesIO(image.data)
    try:
        with Image.open(source) as file:
            mode = file.mode
            picture = _eight_bits(file)
    except Exception as error:  # a damaged file makes pillow raise errors of many kinds
        raise ValueError(f"{image.name}: not an image that pillow can read ({error})") from error
    if size is not None:
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return mode, np.asarray(picture)


def _eight_bits(file: Image.Image) -> Image.Image:
    if file.mode.startswith(("I", "F")):
        raise ValueError(f"its pixels are of mode {file.mode}: 8 bits a channel are needed")
    if file.mode in _GREY:
        return file.convert("L")
    # By way of RGBA, since pillow warns of palettes with transparency on the direct way.
    return file.convert("RGBA").convert("RGB") if file.mode == "P" else file.convert("RGB")


def _say_conversions(modes: Counter[str], total: int) -> None:
    for mode, count in sorted(modes.items()):
        if mode not in (*_GREY, "RGB"):
            _log.warning("%d of %d images have mode %s: converted to RGB", count, total, mode)


def _check_sizes(images: Sequence[Encoded], arrays: Sequence[NDArray[np.uint8]]) -> None:
    height, width = arrays[0].shape[:2]
    for image, array in zip(images, arrays, strict=True):
        if array.shape[:2] != (height, width):
            raise ValueError(
                f"{image.name}: {array.shape[0]}x{array.shape[1]} pixels, but {images[0].name} "
                f"has {height}x{width}: all images must have one size (image_folder resizes)"
            )


def _channels_first(array: NDArray[np.uint8], grey: bool) -> NDArray[np.uint8]:
    if grey:
        return array[None]
    if array.ndim == 2:
        return np.repeat(array[None], 3, axis=0)
    return array.transpose(2, 0, 1)
