"""A part of a sweep for one of several drivers: many small jobs share a sweep, none a cell.

A site with a batch system may give one GPU per job. Each job then runs one shard, as
``--shard 3/8``. Cells are dealt out by their ids, which are hashes: every shard gets its share of
each architecture, and of cells that take long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.spec import Cell


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, from 1 on."""

    index: int
    count: int

    def cells_of(self, cells: Sequence[Cell]) -> list[Cell]:
        """The shard's cells, in the sweep's order. Each cell is in exactly one shard."""
        ids = sorted(cell.cell_id for cell in cells)
        own = set(ids[self.index - 1 :: self.count])
        return [cell for cell in cells if cell.cell_id in own]

    @property
    def name(self) -> str:
        """Its name in the store."""
        return f"{self.index}-of-{self.count}"


def parse_shard(text: str) -> Shard:
    """Read ``3/8``.

    Raises:
        ValueError: if it is anything else, or out of range.
    """
    index, slash, count = text.partition("/")
    if slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count):
        return Shard(int(index), int(count))
    raise ValueError(f"{text!r} is no shard; write I/N with 1 ≤ I ≤ N, as 3/8")


def lease_key(sweep: str, shard: Shard | None) -> str:
    """The store's key for who runs a sweep, or a shard of it."""
    return sweep if shard is None else f"{sweep}/{shard.name}"


def exclude_each_other(one: str, other: str) -> bool:
    """Whether the drivers of two keys of one sweep could run the same cell.

    Two shards of as many parts cannot, unless they are the same.
    """
    parts = [key.partition("/")[2].split("-of-") for key in (one, other)]
    same_count = all(len(part) == 2 for part in parts) and parts[0][1] == parts[1][1]
    return one == other or not same_count
