"""Folders of this machine that hold decoded images, digests and downloads."""

from __future__ import annotations

import os
from pathlib import Path

_DEFAULT = "~/.cache/normscope"


def cache_folder() -> Path:
    """Return the folder of decoded images and digests: NORMSCOPE_CACHE."""
    return Path(os.environ.get("NORMSCOPE_CACHE") or _DEFAULT).expanduser()


def data_folder() -> Path:
    """Return the folder of downloads: NORMSCOPE_DATA."""
    return Path(os.environ.get("NORMSCOPE_DATA") or f"{_DEFAULT}/data").expanduser()
