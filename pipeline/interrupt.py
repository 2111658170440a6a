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


_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it, SIGINT and SIGTERM raise KeyboardInterrupt; a second one ends the process."""
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    listen()
    try:
        yield
    except SystemExit as end:
        if end.code != signal.SIGTERM:  # which is what Ray makes of it while it starts
            raise
        signal.alarm(0)
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listen() -> None:
    """Take the signals (back): Ray, when it starts, takes SIGTERM for itself.

    Its own handler asks for an alarm, which aborts the process three seconds later if it has not
    ended by then; closing Ray in good order can take longer.
    """
    for number in _NUMBERS:
        signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for each in _NUMBERS:
        signal.signal(each, _end)
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    if sys.stderr.isatty():
        os.write(2, b"\033[?25h")  # the live view had hidden the cursor
    os._exit(INTERRUPTED)
