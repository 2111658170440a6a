"""Folders of this machine that hold decoded images, digests and downloads."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.cli import local_folder

_DEFAULT = "~/.cache/normscope"


class CacheError(OSError):
    """The cache folder of this machine cannot be used; the message says what to set."""


def cache_folder() -> Path:
    """Return the folder of decoded images and digests: NORMSCOPE_CACHE."""
    return _folder("NORMSCOPE_CACHE", _DEFAULT)


def data_folder() -> Path:
    """Return the folder of downloads: NORMSCOPE_DATA."""
    return _folder("NORMSCOPE_DATA", f"{_DEFAULT}/data")


def _folder(variable: str, default: str) -> Path:
    """The folder that a variable of the environment names, or a default.

    Raises:
        ValueError: if it is a URI, or ``~NAME`` of no user.
    """
    given = os.environ.get(variable, "").strip() or default
    try:
        return Path(local_folder(given))
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None
