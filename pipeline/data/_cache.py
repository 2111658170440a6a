"""Decoded images that every later trial reads back.

``NORMSCOPE_CACHE`` (default ``~/.cache/normscope``) holds them.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from pipeline.data._folders import CacheError, cache_folder
from pipeline.data._images import Images


def cached(key: str, make: Callable[[], Mapping[str, Images]]) -> Mapping[str, Images]:
    """Return ``make()``, called once for a ``key``: later calls read what the first one wrote.

    What other code has decoded is not read: the file's name has a digest of this package's source.

    Processes that come at once wait for the first (one lock per key). The file is written
    atomically. A file that fails zip's checksums is made anew.

    Args:
        key: file name without suffix; it must tell apart whatever may differ.
        make: makes the named splits.

    Raises:
        CacheError: if the cache folder cannot be written; and whatever ``make`` raises.
    """
    path = cache_folder() / f"{key}-{_code_digest()}.npz"
    found = _read(path)
    if found is not None:
        return found
    with _lock(path):
        found = _read(path)
        if found is None:
            found = make()
            _write(path, found)
    return found


@cache
def _code_digest() -> str:
    sha = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(module.name.encode() + b"\0" + module.read_bytes())
    return sha.hexdigest()[:12]


def _lock(path: Path) -> AbstractContextManager[object]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path.with_suffix(".lock")).acquire()
    except OSError as error:
        raise _unwritable(path, error) from error


def _read(path: Path) -> dict[str, Images] | None:
    """Read the splits back, or None where there is no whole file."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            names = [name.removesuffix(".labels") for name in arrays if name.endswith(".labels")]
            return {n: Images(arrays[f"{n}.pixels"], arrays[f"{n}.labels"]) for n in names}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path, splits: Mapping[str, Images]) -> None:
    arrays = {
        f"{name}.{field}": array
        for name, images in splits.items()
        for field, array in images._asdict().items()
    }
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> CacheError:
    return CacheError(
        f"cannot write decoded images to {path.parent} ({error.strerror or error}): "
        "set NORMSCOPE_CACHE to a folder with space that you may write"
    )
