"""The files that a dataset reads, as its digest needs them: name, size, and when they changed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_RUBBISH = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}
"""What file managers and archivers leave behind, in lower case; the rest of it is hidden."""
_DATA_ERRNOS = (errno.ELOOP, errno.ENAMETOOLONG)


class Source(NamedTuple):
    """One file that a dataset reads."""

    name: str
    """What the digest calls it: split, class and file; the same wherever the data are."""
    path: str
    size: int
    stamp: str
    """Differs once the file has changed: times and inode, or what an object store tells."""
    changed: float = 0.0
    """Seconds since the epoch of the last change; 0 where that is not known."""
    system: Any = None
    """The fsspec file system of a remote file."""


def is_rubbish(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by a file manager or an archiver."""
    return name.startswith(".") or name.lower() in _RUBBISH


def local_source(name: str, path: str) -> Source:
    """Describe a local file; links are followed.

    Raises:
        ValueError: if the path is a broken link, a folder or a special file.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise data_error(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a special file"
        raise ValueError(f"{path}: {kind}, where a regular file is needed; remove or rename it")
    stamp = f"{found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
    return Source(name, path, found.st_size, stamp, max(found.st_mtime, found.st_ctime))


def files_below(root: str) -> list[Source]:
    """List every file below a local folder, or the file itself; rubbish is passed over.

    Raises:
        ValueError: naming a broken link or a special file.
    """
    if not os.path.isdir(root):
        return [local_source(os.path.basename(root), root)]
    return [local_source(below(root, path), path) for path in walk(root)]


def below(folder: str, path: str) -> str:
    """The part of a path that `walk` gave for a folder, with slashes."""
    return path[len(folder) :].replace(os.sep, "/").lstrip("/")


def walk(
    folder: str,
    is_file: Callable[[str], bool] = lambda name: False,
    above: tuple[tuple[int, int], ...] = (),
) -> Iterator[str]:
    """Paths below a folder that are not folders, by name; links to folders are followed.

    Args:
        folder: where to look; rubbish is passed over.
        is_file: whether a name is that of a file, which no folder may have.
        above: device and inode of the folders above this one.

    Raises:
        ValueError: naming a folder that cannot be listed or has the name of a file, a link to a
            folder above itself, or a broken link that may have been one to a folder.
    """
    try:
        found = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise data_error(folder, error) from error
    own = (found.st_dev, found.st_ino)
    if own in above:
        raise ValueError(f"{folder}: a link to a folder above itself; remove it")
    for entry in entries:
        if is_rubbish(entry.name):
            continue
        if not entry.is_dir():
            if "." not in entry.name:
                refuse_broken(entry.path)
            yield entry.path
        elif is_file(entry.name):
            raise ValueError(f"{entry.path}: a folder with a file's name; remove or rename it")
        else:
            yield from walk(entry.path, is_file, (*above, own))


def refuse_broken(path: str) -> None:
    """Refuse a broken link.

    Raises:
        ValueError: naming the link and what it points at.
    """
    if os.path.islink(path) and not os.path.exists(path):
        raise ValueError(f"{path}: a broken link to {os.readlink(path)}; restore or remove it")


def data_error(path: str, error: OSError) -> ValueError:
    """Say which file cannot be read and why; a broken link is called one."""
    refuse_broken(path)
    return ValueError(f"{path}: cannot be read ({error.strerror or error})")


def is_data_error(error: OSError) -> bool:
    """Whether the data are at fault, so that the same trial would meet the error again.

    Everything else (input and output errors, a network that is away) is the machine's.
    """
    kinds = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
    return isinstance(error, kinds) or error.errno in _DATA_ERRNOS
