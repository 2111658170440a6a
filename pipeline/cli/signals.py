"""Signals: SIGINT and SIGTERM end a command cleanly, a second one at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from pipeline.cli.process import INTERRUPTED

STOPPING = "stopping …; Ctrl-C again to stop now"

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def graceful_shutdown() -> Iterator[None]:
    """Context manager in which SIGINT and SIGTERM raise KeyboardInterrupt; a second one exits."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    install_signal_handlers()
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


def install_signal_handlers() -> None:
    """Install our signal handlers (again): Ray, when it starts, takes SIGTERM for itself.

    Its own handler asks for an alarm, which aborts the process three seconds later if it has not
    ended by then; closing Ray in good order can take longer.
    """
    for number in _SIGNALS:
        signal.signal(number, _stop)


@contextmanager
def stop_notice(show: Callable[[str], None]) -> Iterator[None]:
    """Context manager in which ``show`` displays the answer to Ctrl-C, in place of standard error.

    A live view needs that: what else is written to its terminal would be overdrawn.
    """
    global _show_notice
    before, _show_notice = _show_notice, show
    try:
        yield
    finally:
        _show_notice = before


@contextmanager
def on_terminate(action: Callable[[], None]) -> Iterator[None]:
    """Context manager in which the first SIGTERM calls ``action`` and interrupts nothing.

    The action must be quick: it runs between two instructions of the main thread. The next signal
    is handled as always.
    """
    global _terminate
    before, _terminate = _terminate, action
    try:
        yield
    finally:
        _terminate = before


def write_notice(text: str, descriptor: int = 2) -> None:
    """Write at once: Python's own stream may be in the midst of a line, and refuses a second."""
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    with suppress(OSError):
        os.write(descriptor, f"\n{text}\n".encode(encoding, "printable"))


_show_notice: Callable[[str], None] = write_notice


_terminate: Callable[[], None] | None = None


def _stop(number: int, frame: FrameType | None) -> None:
    global _terminate
    if number == signal.SIGTERM and _terminate is not None:
        action, _terminate = _terminate, None
        _show_notice(STOPPING)
        action()
        return
    for each in _SIGNALS:
        signal.signal(each, _exit_now)
    _show_notice(STOPPING)
    raise KeyboardInterrupt


def _exit_now(number: int, frame: FrameType | None) -> None:
    if sys.stderr.isatty():
        os.write(2, b"\033[?25h")  # the live view had hidden the cursor
    os._exit(INTERRUPTED)
