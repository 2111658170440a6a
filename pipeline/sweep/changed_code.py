"""Finished cells whose code has changed since, or whose result is damaged.

``--status`` lists them, and ``--rerun-changed`` runs them again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline.spec import Cell
from pipeline.store import Store, StoreError
from pipeline.sweep.progress import title
from pipeline.trial.source_digest import source_digests

_READERS = 16
"""Threads that read results: reading waits for the disk or the network."""
_EXAMPLES = 3
"""Cells named for each set of changed parts."""
_UNKNOWN = ("code that is not recorded",)
_DAMAGED = ("the result itself",)

T = TypeVar("T")
Changes = dict[str, tuple[str, ...]]
"""By cell id: the parts whose code differs from that of this checkout, or why it is not known."""


def changed_code(cells: Sequence[Cell], store: Store, finished: set[str]) -> Changes:
    """The finished cells that other code made than that of this checkout."""
    done = _each(cells, finished, lambda cell: _changes(cell, store))
    return {cell.cell_id: parts for cell, parts in done if parts}


def damage(cells: Sequence[Cell], store: Store, finished: set[str]) -> list[str]:
    """A line on the finished cells whose result cannot be read, if there are any."""
    done = _each(cells, finished, lambda cell: _is_readable(cell, store))
    found = [cell for cell, is_readable in done if not is_readable]
    if not found:
        return []
    return [
        f"{_heading(_DAMAGED, len(found))}; the first is {found[0].cell_id}; --rerun-changed runs "
        "them again"
    ]


def _each(
    cells: Sequence[Cell], finished: set[str], look: Callable[[Cell], T]
) -> list[tuple[Cell, T]]:
    """The finished cells, each with what a look at its result gives."""
    done = [cell for cell in cells if cell.cell_id in finished]
    with ThreadPoolExecutor(_READERS) as pool:
        return list(zip(done, pool.map(look, done), strict=True))


def _is_readable(cell: Cell, store: Store) -> bool:
    try:
        store.result(cell.cell_id)
    except StoreError:
        return False
    return True


def _changes(cell: Cell, store: Store) -> tuple[str, ...]:
    """Parts of a cell that have changed; none if its code is the same."""
    try:
        recorded = store.result(cell.cell_id)["provenance"].get("sources")
    except (StoreError, KeyError, TypeError, AttributeError):
        return _DAMAGED
    if not isinstance(recorded, dict):
        return _UNKNOWN
    present = source_digests(cell.settings)
    return tuple(sorted(k for k in present.keys() | recorded if present.get(k) != recorded.get(k)))


def show_changed_code(cells: Sequence[Cell], changes: Changes) -> None:
    """Print the cells that other code made by what has changed, and how to run them again."""
    groups: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.cell_id in changes:
            groups[changes[cell.cell_id]].append(cell)
    for parts, members in groups.items():
        print(_heading(parts, len(members)))
        for cell in members[:_EXAMPLES]:
            print(f"  {cell.cell_id}  {title(cell.labels)}")
        if len(members) > _EXAMPLES:
            print(f"  … and {len(members) - _EXAMPLES} more")
    if groups:
        print("--rerun-changed runs these cells again, with the code of this checkout")


def _heading(parts: tuple[str, ...], count: int) -> str:
    if parts == _DAMAGED:
        return f"damaged, or edited by hand: the results of {count} done cells; no report has them"
    return f"made by other code: {count} done cells; changed: {', '.join(parts)}"
