"""Files on a disk, written so that neither a kill nor a lost power supply leaves a part of one."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from uuid import uuid4

_ATTEMPTS = 3
"""Times that a file is written before its disk is taken for broken."""


def write_atomic(path: str, data: bytes) -> None:
    """Write a file atomically and durably.

    It is written under another name, forced to the disk, read back from there and compared; only
    then it gets its name, and its folder is forced to the disk too. A file that reads back
    otherwise is written anew, twice at most. Costs two waits for the disk, and a reading.

    Raises:
        OSError: if the disk refuses, or does not keep what it was given.
    """
    folder = os.path.dirname(path)
    _make_folder(folder)
    partial = f"{path}.{uuid4().hex}.partial"
    try:
        for _ in range(_ATTEMPTS):
            if _write_and_read(partial, data) == data:
                os.replace(partial, path)
                _fsync_directory(folder)
                return
        raise OSError(f"its disk does not keep what is written: tried {_ATTEMPTS} times")
    finally:
        with suppress(OSError):  # gone, unless something was raised
            os.remove(partial)


def write_first(path: str, data: bytes) -> None:
    """Write a file atomically, unless there is one.

    Where there are no hard links, a file that another process writes meanwhile is replaced.

    Raises:
        FileExistsError: if there is one. OSError: if the disk refuses.
    """
    if os.path.exists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    draft = f"{path}.{uuid4().hex}.draft"
    write_atomic(draft, data)
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        os.replace(draft, path)
    finally:
        with suppress(OSError):
            os.remove(draft)


def _write_and_read(path: str, data: bytes) -> bytes:
    with open(path, "wb+") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):  # or memory is read back, and not the disk
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        return file.read()


def _make_folder(folder: str) -> None:
    """Make a folder and those above it, each of them known to the one above it."""
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    _make_folder(above)
    with suppress(FileExistsError):  # another process was quicker
        os.mkdir(folder)
    _fsync_directory(above)


def _fsync_directory(folder: str) -> None:
    """Force the names in a folder to the disk, as far as its file system knows of such a thing."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(descriptor)
