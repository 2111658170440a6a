"""A request to end the present cell by a checkpoint: it goes on later from where it stands.

A job's wall time, a budget or a user ends a sweep before its cells are done. Without this, a cell
would repeat what it has done since its last checkpoint.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_EVERY = 1.0
"""Seconds between two questions whether to stop."""
_requested = threading.Event()


class Stopped(Exception):
    """The cell has saved a checkpoint and ended before its last step."""


@contextmanager
def stopping(ask: Callable[[], bool]) -> Iterator[None]:
    """Context manager in which `requested` follows what ``ask`` returned last.

    Args:
        ask: whether to stop; called from a thread of its own, so that no step waits for it.
    """
    over = threading.Event()
    _requested.clear()
    threading.Thread(target=_follow, args=[ask, over], daemon=True).start()
    try:
        yield
    finally:
        over.set()
        _requested.clear()


def requested() -> bool:
    """Whether the present cell has to save a checkpoint and end."""
    return _requested.is_set()


def _follow(ask: Callable[[], bool], over: threading.Event) -> None:
    while not over.wait(_EVERY):
        if ask() and not over.is_set():
            _requested.set()
            return
