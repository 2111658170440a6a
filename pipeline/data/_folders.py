"""Folders of this machine that hold decoded images, digests and downloads."""

from __future__ import annotations

import os
from pathlib import Path

_DEFAULT = "~/.cache/normscope"


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
    if "://" in given:
        raise ValueError(f"{variable}: {given} must be a folder of this machine, not a URI")
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise ValueError(f"{variable}: {given}: this machine has no such user") from None
