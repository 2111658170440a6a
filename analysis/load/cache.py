"""Reduced cells kept beside a report, so that only new or changed cells are read again.

A kept cell counts if the digest of its ``result.json``, which names the digests of its records, is
the same, and so is the code that reduced it. A file that is damaged, or of which no cell counts, is
removed; what it held is read anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.load import cache_file
from pipeline.store.atomic_write import write_atomic


class Cache:
    """A folder of shards; ``None`` as folder keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def take(self, digests: Mapping[str, str]) -> tuple[list[cache_file.Part], set[str]]:
        """The tables of the cells that are kept, and which cells those are.

        Args:
            digests: of the cells' results, by id.
        """
        found, taken = [], set()
        for path in sorted(self.folder.glob("*.shard")) if self.folder else []:
            data = path.read_bytes()
            head = cache_file.head(data)
            own = {c for c, digest in head["cells"].items() if digests.get(c) == digest} - taken
            part = _part(data, head, own) if own else None
            if part is None:
                path.unlink(missing_ok=True)
                continue
            found.append(part)
            taken |= own
        return found, taken

    def keep(self, data: bytes) -> None:
        """Add a shard, whole or not at all."""
        if self.folder is not None:
            name = hashlib.sha256(data).hexdigest()[:32]
            write_atomic(str(self.folder.absolute() / f"{name}.shard"), data)


def _part(data: bytes, head: dict[str, Any], wanted: set[str]) -> cache_file.Part | None:
    try:
        return cache_file.Part(data, head, wanted)
    except ValueError:
        return None
