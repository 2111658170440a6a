"""Reduced cells kept beside a report, so that only new or changed cells are read again.

A kept cell counts if the digest of its ``result.json``, which names the digests of its records, is
the same, and so is the code that reduced it. A file that is damaged, or of which no cell counts, is
removed; what it held is read anew.

Figures are not kept. An unchanged report is not made again (`analysis.report.up_to_date`), and any
changed cell can change every figure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from analysis.load.cache_file import Part
from pipeline.store import write_atomic


class Cache:
    """A folder of shards, each named by its digest; ``None`` as folder keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def take(self, digests: Mapping[str, str]) -> tuple[list[Part], set[str]]:
        """The tables of the cells that are kept, and which cells those are.

        Args:
            digests: of the cells' results, by id.
        """
        found: list[Part] = []
        taken: set[str] = set()
        for path in sorted(self.folder.glob("*.zip")) if self.folder else []:
            data = path.read_bytes()
            part = Part(data) if _digest(data) == path.stem else None
            kept = part.cells.items() if part else ()
            own = {cell for cell, digest in kept if digests.get(cell) == digest} - taken
            if part is None or not own:
                path.unlink(missing_ok=True)
                continue
            part.wanted = own
            found.append(part)
            taken |= own
        return found, taken

    def keep(self, data: bytes) -> None:
        """Write a shard atomically."""
        if self.folder is not None:
            write_atomic(str(self.folder.absolute() / f"{_digest(data)}.zip"), data)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
