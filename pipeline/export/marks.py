"""Which cells an export already has: an empty file per cell, written when it is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.export.finished import Finished


def each_once(cells: Sequence[Finished], folder: Path, write: Callable[[Finished], None]) -> int:
    """Write each cell without a mark, and mark it; returns how many were written."""
    marks = folder / "exported"
    marks.mkdir(exist_ok=True)
    missing = [cell for cell in cells if not (marks / cell.cell_id).exists()]
    for cell in missing:
        write(cell)
        (marks / cell.cell_id).touch()
    return len(missing)
