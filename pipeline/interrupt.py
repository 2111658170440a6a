"""Signals that ask a command to stop: once in good order, twice at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code of an interrupted command."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it, SIGINT and SIGTERM raise KeyboardInterrupt; a second one ends the process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _end)
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    if sys.stderr.isatty():
        os.write(2, b"\033[?25h")  # the live view had hidden the cursor
    os._exit(INTERRUPTED)
