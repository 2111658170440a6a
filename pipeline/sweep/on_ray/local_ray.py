"""What Ray needs of this machine to start here: a temporary folder and a token."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cli import stop_notice, write_notice

_SOCKET = "ray/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"
_LONGEST = 107
"""Bytes of a Unix socket's path, at most."""
_ROOM = 50 * 2**20
"""Bytes that Ray's logs and sockets need, at least: without them it hangs."""


def check_temporary_folder() -> None:
    """Refuse a temporary folder in which Ray cannot start.

    Raises:
        ValueError: if its path is too long, or it cannot be written, or is full.
    """
    _make_absolute("RAY_TMPDIR")
    name, folder = _temporary_folder()
    advice = f"set RAY_TMPDIR to another folder, as /tmp{'/$USER' * (folder == '/tmp')}"
    longest = _LONGEST - len(f"/{_SOCKET}")
    if len(os.fsencode(folder)) > longest:
        raise ValueError(
            f"{name}: {folder} is too long: Ray makes sockets below it, whose paths have "
            f"{_LONGEST} bytes at most; {advice} (at most {longest} bytes)"
        )
    try:
        own = Path(folder, "ray")
        own.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=own):
            pass
        free = os.statvfs(own)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{name}: {folder} cannot be used by Ray: {reason}; {advice}") from None
    if free.f_bavail * free.f_frsize < _ROOM:
        left = free.f_bavail * free.f_frsize / 2**20
        raise ValueError(
            f"{name}: {folder} is full ({left:.1f} MiB left, Ray needs {_ROOM >> 20}); {advice}"
        )


def _make_absolute(variable: str) -> None:
    """Ray takes an empty value for a folder, and starts in no relative one."""
    folder = os.environ.get(variable)
    if folder is not None and not folder.strip():
        del os.environ[variable]
    elif folder:
        os.environ[variable] = os.path.abspath(os.path.expanduser(folder))


def _temporary_folder() -> tuple[str, str]:
    """The folder in which Ray makes its own, and the variable that names it."""
    for name in ("RAY_TMPDIR", "TMPDIR"):
        if folder := os.environ.get(name):
            return name, folder
    return "the temporary folder", "/tmp"


def use_own_token() -> None:
    """Give a cluster that starts here a token of its own, unless the user has one.

    Ray would write one into ``~/.ray``, which a container may not let it do; and with that file a
    later `ray start` makes a cluster which this user's other programs cannot join.
    """
    given = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if any(os.environ.get(name) for name in given) or _home_token().exists():
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def native_messages_muted() -> Iterator[None]:
    """Context manager that mutes native code on standard error, but not the answer to Ctrl-C.

    Ray's native part writes a line for each of its tries to reach a cluster; the exception tells
    what came of them.
    """
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with stop_notice(lambda text: write_notice(text, saved)):
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _home_token() -> Path:
    return Path(os.path.expanduser("~"), ".ray", "auth_token")
