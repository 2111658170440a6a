"""Which cells an export already has: a file per cell with the digest of its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.export.finished import Finished


def each_once(cells: Sequence[Finished], folder: Path, write: Callable[[Finished], None]) -> int:
    """Write each cell whose result has no mark, and mark it; returns how many were written."""
    marks = folder / "exported"
    marks.mkdir(exist_ok=True)
    missing = [cell for cell in cells if _marked(marks / cell.cell_id) != cell.digest]
    for cell in missing:
        write(cell)
        (marks / cell.cell_id).write_text(cell.digest)
    return len(missing)


def _marked(path: Path) -> str:
    return path.read_text() if path.exists() else ""
