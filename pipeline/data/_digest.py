"""A digest of the files that a dataset reads: what it contains, wherever it is.

    sha256 over, for every file in the order of their names: name, size, sha256 of its bytes

It is computed once for files that do not change, and kept in the folder of decoded images under
their paths, sizes, times and inodes. Torch is not needed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from pipeline.catalog import file_of_class
from pipeline.data._folders import cache_folder
from pipeline.data._image_tree import image_sources
from pipeline.data._shards import parquet_sources
from pipeline.data._sources import Source, data_error, files_below, is_data_error, local_source
from pipeline.store import write_atomic

_SETTLED = 2.0
"""Seconds after which a change of a file shows in its times, whatever the clock's resolution."""
_LARGE = 2**31
"""Bytes that take so long to read that the log says why."""
_BLOCK = 2**20
_log = logging.getLogger(__name__)


class Content(NamedTuple):
    """What a location contains."""

    digest: str
    """``sha256:`` and 64 hex digits."""
    files: int
    notes: Sequence[str]
    """What a reader should know of the choice of files."""


def _everything(path: str) -> tuple[list[Source], list[str]]:
    return files_below(os.path.expanduser(path)), []


def _class_of_file(path: str) -> tuple[list[Source], list[str]]:
    """The file under the class's name: another class of one file is other content."""
    file, name = file_of_class(path)
    return [local_source(name, os.path.expanduser(file))], []


SOURCES: Mapping[str, Callable[[str], tuple[list[Source], list[str]]]] = {
    "image_folder": image_sources,
    "module": _class_of_file,
    "parquet": parquet_sources,
}
"""By part: the files that it reads at a location, and notes on them. Of a part that is not named
here, all files below the location count."""


def content(part: str, path: str) -> Content:
    """Read what a location of a part contains; of files that have not changed, times alone.

    Raises:
        ValueError: naming the file or folder at fault.
    """
    sources, notes = SOURCES.get(part, _everything)(path)
    return Content(f"sha256:{digest(sources)}", len(sources), notes)


def digest(sources: Sequence[Source]) -> str:
    """Return the hex digest of files, from the cache if none of them has changed.

    Raises:
        ValueError: naming a file that cannot be read.
    """
    ordered = sorted(sources, key=lambda source: source.name)
    states = hashlib.sha256()
    for source in ordered:
        states.update(f"{source.name}\0{source.path}\0{source.size}\0{source.stamp}\n".encode())
    kept = cache_folder() / "digests" / states.hexdigest()
    if found := _read(kept):
        return found
    with _lock(kept):  # processes that come at once wait for the first
        return _read(kept) or _compute_and_keep(ordered, kept)


def _read(kept: Path) -> str | None:
    try:
        return kept.read_text(encoding="ascii")
    except OSError:
        return None


def _lock(kept: Path) -> AbstractContextManager[object]:
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(kept.with_suffix(".lock")).acquire()
    except OSError as error:
        _log.warning("cannot keep the data's digest, so each command computes it: %s", error)
        return nullcontext()


def _compute_and_keep(sources: Sequence[Source], kept: Path) -> str:
    start = time.time()
    found = _computed(sources)
    # A file that changed just before it was read may change again without new times.
    if max((source.changed for source in sources), default=0.0) < start - _SETTLED:
        with suppress(OSError):  # the lock's warning has said so
            write_atomic(str(kept), found.encode())
    return found


def _computed(sources: Sequence[Source]) -> str:
    size = sum(source.size for source in sources)
    if size > _LARGE:
        where = os.path.dirname(sources[0].path)
        _log.warning("reading %.1f GB once for their digest (%s …)", size / 1e9, where)
    sha = hashlib.sha256()
    with ThreadPoolExecutor() as pool:
        for source, own in zip(sources, pool.map(_file_digest, sources), strict=True):
            sha.update(f"{source.name}\0{source.size}\0{own}\n".encode())
    return sha.hexdigest()


def _file_digest(source: Source) -> str:
    """sha256 of a file's bytes. Errors that are the data's are said of the file."""
    sha = hashlib.sha256()
    opener = source.system.open if source.system else open
    try:
        with opener(source.path, "rb") as file:
            while block := file.read(_BLOCK):
                sha.update(block)
    except OSError as error:
        if is_data_error(error):
            raise data_error(source.path, error) from error
        raise
    return sha.hexdigest()
