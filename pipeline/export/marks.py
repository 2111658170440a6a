"""Which cells an export already has: a file per cell with the digest of its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.export.finished import Finished, read
from pipeline.store import Store


def each_once(
    digests: Mapping[str, str], folder: Path, store: Store, write: Callable[[Finished], None]
) -> int:
    """Write each cell whose result has no mark, and mark it; returns how many were written.

    Only cells that are written are read.
    """
    marks = folder / "exported"
    marks.mkdir(exist_ok=True)
    missing = [each for each, digest in digests.items() if _marked(marks / each) != digest]
    for cell_id in missing:
        cell = read(store, cell_id)
        write(cell)
        (marks / cell_id).write_text(cell.digest)
    return len(missing)


def _marked(path: Path) -> str:
    return path.read_text() if path.exists() else ""
