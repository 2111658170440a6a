"""The end of a command: its exit code, and no complaint where nobody reads on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's ``main`` and end the process with the code that it gives (None is 0).

    Where the reader of its output has gone (``… | head``) it ends as other tools do: silently, with
    the code that a shell gives to a broken pipe, 141.
    """
    try:
        try:
            code = main()
        finally:  # --help ends by itself
            sys.stdout.flush()
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
        _discard()
    sys.exit(code)


def _discard() -> None:
    """Send what is still to be written, which Python does once more at its end, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or none of the system's
            os.dup2(nowhere, stream.fileno())
