"""Small files of this machine by which processes of one run of a sweep tell each other things."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def note_file(run: str, name: str) -> Path:
    """A note's file, in a folder of this user's that is made if there is room for it.

    Args:
        run: the id of a driver's run.
        name: the note's name within the run.
    """
    folder = Path(tempfile.gettempdir(), f"normscope-{os.getuid()}")
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{run}-{name}"


def clear_notes(run: str) -> None:
    """Remove a run's notes: workers that were killed have left theirs."""
    for file in note_file(run, "").parent.glob(f"{run}-*"):
        with suppress(OSError):
            file.unlink()
