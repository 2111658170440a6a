from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.data._decode import Encoded, decode

_RNG = np.random.default_rng(0)
_COLOUR = _RNG.integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
_GREY = _RNG.integers(0, 256, (4, 6), dtype=np.uint8)


def _file(pixels: NDArray[np.uint8], mode: str | None = None, kind: str = "PNG") -> bytes:
    picture = Image.fromarray(pixels)
    buffer = BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, kind)
    return buffer.getvalue()


def _named(*files: bytes | Path | None) -> list[Encoded]:
    return [Encoded(f"row {i}", file) for i, file in enumerate(files)]


def test_colour_keeps_order_and_values() -> None:
    many = np.concatenate([_COLOUR + np.uint8(i) for i in range(120)])  # more than a block
    decoded = decode(_named(*map(_file, many)))
    np.testing.assert_array_equal(decoded, many.transpose(0, 3, 1, 2), strict=True)


def test_grey_has_one_channel_unless_one_image_has_colour() -> None:
    grey = decode(_named(_file(_GREY), _file(_GREY)))
    np.testing.assert_array_equal(grey, np.stack([_GREY[None]] * 2), strict=True)
    mixed = decode(_named(_file(_GREY), _file(_COLOUR[0])))
    np.testing.assert_array_equal(mixed[0], np.stack([_GREY] * 3))
    np.testing.assert_array_equal(mixed[1], _COLOUR[0].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("mode", "kind"), [("P", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("CMYK", "TIFF")]
)
def test_other_modes_become_rgb_and_the_log_says_so(
    mode: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    flat = np.full((4, 6, 3), 51, dtype=np.uint8)  # exact in a palette and in CMYK
    with caplog.at_level(logging.WARNING):
        decoded = decode(_named(_file(_COLOUR[0]), _file(flat, mode, kind)))
    np.testing.assert_array_equal(decoded[1], flat.transpose(2, 0, 1))
    assert caplog.messages == [f"1 of 2 images have mode {mode}: converted to RGB"]


def test_palette_with_transparency_raises_no_warning() -> None:
    picture = Image.fromarray(_COLOUR[0]).convert("P")
    buffer = BytesIO()
    picture.save(buffer, "PNG", transparency=bytes(range(200)))
    decoded = decode(_named(buffer.getvalue()))
    np.testing.assert_array_equal(decoded[0], np.asarray(picture.convert("RGB")).transpose(2, 0, 1))


def test_resize_is_pillows_bilinear() -> None:
    large = _RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    right = Image.fromarray(large).resize((8, 8), Image.Resampling.BILINEAR)
    decoded = decode(_named(_file(large), _file(_COLOUR[0])), size=8)
    np.testing.assert_array_equal(decoded[0], np.asarray(right).transpose(2, 0, 1))


def test_paths_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_file(_GREY))
    np.testing.assert_array_equal(decode(_named(tmp_path / "a.png"))[0, 0], _GREY)


_DEEP = BytesIO()
Image.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6)).save(_DEEP, "PNG")


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (None, "row 1: no image bytes"),
        (b"", "row 1: not an image that pillow can read"),
        (b"plain text", "row 1: not an image that pillow can read"),
        (_file(_COLOUR[0])[:60], "row 1: not an image that pillow can read"),
        (_DEEP.getvalue(), "row 1: not an image .* mode I;16: 8 bits a channel are needed"),
        (_file(_GREY.T.copy()), "row 1: 6x4 pixels, but row 0 has 4x6: .* one size"),
        (Path("absent.png"), "row 1: not an image that pillow can read .*absent.png"),
    ],
)
def test_bad_image_is_named(bad: bytes | Path | None, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        decode(_named(_file(_COLOUR[0]), bad, _file(_COLOUR[1])))
    assert "\n" not in str(error.value)
