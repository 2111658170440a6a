"""Errors of a command: printed in one line, without secrets, and turned into an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pipeline.cli.process import INTERRUPTED
from pipeline.cli.redaction import redact

BAD_INPUT = 2
"""Exit code of a command that was given what it cannot use."""


def exit_code(action: Callable[[], int], interrupted: str) -> int:
    """Run a command's action; returns its exit code, or that of its error.

    ValueError is how this project says that the input is wrong; OSError is a file, a disk or a
    server that cannot be used. Both are printed as one line, any other exception is a bug.

    Args:
        action: the command's work.
        interrupted: what to print after Ctrl-C.
    """
    try:
        return action()
    except BrokenPipeError:  # the reader of what is printed has gone: see `pipeline.cli.process`
        raise
    except (ValueError, OSError) as error:
        print_error(error)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"\ninterrupted: {interrupted}", file=sys.stderr)
        return INTERRUPTED


def print_error(error: Exception | str) -> None:
    """Print an error on standard error: each of its lines without runs of blanks or secrets."""
    lines = (" ".join(line.split()) for line in redact(_text(error)).splitlines())
    print("\n".join(line for line in lines if line), file=sys.stderr)


def _text(error: Exception | str) -> str:
    """An error's words; of one of the system the file and the reason, not its number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
