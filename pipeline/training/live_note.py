"""How far a running cell is: a small file of this machine, from its worker to the live view.

It is for the eye only. A worker on another machine writes one too, and nobody reads it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.training.local_notes import note_file

_EVERY = 1.0
"""Seconds between two notes of a cell."""


class _Writer:
    """The note of the cell that runs in this process."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.written = 0.0

    def write(self, step: int, steps: int, loss: float) -> None:
        now = time.monotonic()
        if self.file is None or now - self.written < _EVERY:
            return
        self.written = now
        with suppress(OSError):  # no room: the view shows less
            partial = self.file.with_suffix(".partial")
            partial.write_text(json.dumps([step, steps, loss]))
            os.replace(partial, self.file)


_writer = _Writer()


@contextmanager
def noting(run: str, cell_id: str) -> Iterator[None]:
    """Context manager in which `note` reaches the view of a driver's run."""
    _writer.file, _writer.written = _file(run, cell_id), 0.0
    try:
        yield
    finally:
        with suppress(OSError):
            _writer.file.unlink(missing_ok=True)
        _writer.file = None


def note(step: int, steps: int, loss: float) -> None:
    """Tell how many of its steps the present cell has taken, and its last training loss."""
    _writer.write(step, steps, loss)


def read(run: str, cell_id: str) -> str:
    """How far a cell is, in words; empty if it is not known."""
    try:
        step, steps, loss = json.loads(_file(run, cell_id).read_text())
        return f"step {step}/{steps} · loss {loss:.3g}"
    except (OSError, ValueError, TypeError):
        return ""


def _file(run: str, cell_id: str) -> Path:
    return note_file(run, f"{cell_id}.live")
