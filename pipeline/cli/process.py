"""The start and the end of a command's process: its streams and its exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from pipeline.cli.streams import make_printable

INTERRUPTED = 130
"""Exit code of an interrupted command."""


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's ``main`` and end the process with the code that it returns (None is 0).

    Where the reader of its output has gone (``… | head``) it ends as other tools do: silently, with
    the code that a shell gives to a broken pipe, 141.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 — for the whole process
    make_printable()
    try:
        try:
            code = main()
        finally:  # --help ends by itself
            sys.stdout.flush()
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
        _discard_output()
    sys.exit(code)


def _discard_output() -> None:
    """Redirect the streams to nowhere: Python flushes them once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or not a file of the system
            os.dup2(nowhere, stream.fileno())
