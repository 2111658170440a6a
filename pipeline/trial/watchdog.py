"""The end of a trial that does not come back by itself."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LAST_RESORT = 15.0
"""Seconds after which even a process that runs no Python any more is ended."""


@contextmanager
def kill_after(seconds: float, report: Callable[[str], None]) -> Iterator[None]:
    """Within it, the process ends itself once ``seconds`` are over, and first reports the stack.

    Where native code never lets Python run again there is no report: the process just ends.
    """
    thread = threading.get_ident()
    timer = threading.Timer(seconds, _end, [thread, report])
    timer.daemon = True
    timer.start()
    stream = sys.__stderr__
    if stream is not None:
        faulthandler.dump_traceback_later(seconds + _LAST_RESORT, exit=True, file=stream)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def _end(thread: int, report: Callable[[str], None]) -> None:
    frame = sys._current_frames().get(thread)
    try:
        report("".join(traceback.format_stack(frame)))
    finally:
        os._exit(1)
