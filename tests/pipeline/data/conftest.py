from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test its own cache and download folders."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NORMSCOPE_CACHE", str(folder))
    monkeypatch.setenv("NORMSCOPE_DATA", str(tmp_path / "downloads"))
    return folder


@pytest.fixture
def noise() -> NDArray[np.uint8]:
    """Forty random colour images, (N, H, W, 3)."""
    return np.random.default_rng(0).integers(0, 256, (40, 4, 6, 3), dtype=np.uint8)


@pytest.fixture
def png() -> Callable[[NDArray[np.uint8]], bytes]:
    """Encode (H, W) or (H, W, 3) pixels as a PNG file."""

    def encode(pixels: NDArray[np.uint8]) -> bytes:
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return encode
