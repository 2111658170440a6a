"""A table laid out for printing: its texts are decided here, so no two formats can disagree."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from analysis.tables import Measure, Table, headline
from analysis.text import numbers, shorten

RESCALES = "†"
RESCALES_MEANS = f"{RESCALES} changes when weights before a normalizer are rescaled"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One printed estimate; ``value`` sorts it, a missing one is NaN."""

    value: float
    text: str
    interval: str
    note: str
    best: bool

    @property
    def full(self) -> str:
        """Estimate and interval, ``0.123 [0.110, 0.140]``."""
        return f"{self.text} {self.interval}".strip()


@dataclass(frozen=True, kw_only=True)
class Row:
    """The labels that name a row, and its cells."""

    labels: list[str]
    cells: list[Cell]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table as rows of printed cells; ``keys`` and ``heads`` name its columns."""

    name: str
    title: str
    caption: str
    keys: list[str]
    heads: list[str]
    rows: list[Row]
    first: tuple[int, ...] = ()
    """Places of the headline columns."""
    first_rows: frozenset[str] = frozenset()
    """Last labels of the headline rows; empty: all rows."""
    key: tuple[tuple[str, str], ...] = ()
    """Short labels in the rows, and what they stand for."""

    @property
    def headline(self) -> Sheet:
        """The headline rows with the headline columns alone."""
        rows = [
            replace(row, cells=[row.cells[i] for i in self.first])
            for row in self.rows
            if not self.first_rows or row.labels[-1] in self.first_rows
        ]
        return replace(self, heads=[self.heads[i] for i in self.first], rows=rows)

    @property
    def blocks(self) -> list[tuple[str, list[Row]]]:
        """Rows by block: the name of all labels but the last, which names a row within it."""
        groups = groupby(self.rows, key=lambda row: tuple(row.labels[:-1]))
        return [(" · ".join(filter(None, labels)), list(rows)) for labels, rows in groups]

    @property
    def marked(self) -> bool:
        """Whether a column bears the mark of measures that rescaling changes."""
        labels = [label for row in self.rows for label in row.labels]
        return any(RESCALES in text for text in [*self.heads, *labels])

    def footnotes(self) -> dict[str, str]:
        """A mark (a, b, … z, aa, …) for every distinct note, in reading order."""
        notes = [cell.note for row in self.rows for cell in row.cells if cell.note]
        return dict(zip(dict.fromkeys(notes), _marks(), strict=False))


def sheet(table: Table, short: Mapping[str, str] | None = None) -> Sheet:
    """Lay out a table: a row for every combination of its keys, a column a measure.

    Args:
        short: labels of architectures to print short.
    """
    short = short or {}
    indexed = table.cells.set_index([*table.keys, "measure"]).sort_index()
    found = dict(zip(indexed.index, indexed.to_dict("records"), strict=True))
    keys = _by_block(table.cells[table.keys].drop_duplicates().itertuples(index=False, name=None))
    rows = [
        Row(
            labels=[shorten(str(label), short) for label in key],
            cells=[_cell(found.get((*key, measure.key)), measure) for measure in table.measures],
        )
        for key in keys
    ]
    return Sheet(
        name=table.name,
        title=table.title,
        caption=table.caption,
        keys=table.keys,
        heads=[head(measure) for measure in table.measures],
        rows=rows,
        first=tuple(headline(table.name, [measure.key for measure in table.measures])),
        first_rows=table.first_rows,
        key=_key(table, short),
    )


def _by_block(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Keys of rows, those of one block together, all else in the order in which they come."""
    blocks: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key in keys:
        blocks.setdefault(key[:-1], []).append(key)
    return [key for own in blocks.values() for key in own]


def _key(table: Table, short: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The short labels that the rows of a table have."""
    used = set(table.cells["architecture"].astype(str)) if "architecture" in table.keys else set()
    return tuple((name, label) for label, name in short.items() if label in used and name != label)


def head(measure: Measure) -> str:
    """Title and unit of a measure, marked if rescaling changes it."""
    unit = f" ({measure.unit})" if measure.unit else ""
    return f"{measure.title}{unit}{' ' + RESCALES if measure.rescales else ''}"


def _cell(found: Mapping[Hashable, Any] | None, measure: Measure) -> Cell:
    if found is None:
        return Cell(value=float("nan"), text=numbers.MISSING, interval="", note="", best=False)
    estimate, low, high = (float(found[name]) for name in ("estimate", "low", "high"))
    text, lower, upper = numbers.triple(estimate, low, high, measure.digits)
    return Cell(
        value=estimate,
        text=text,
        interval=numbers.interval(lower, upper),
        note=str(found["note"]),
        best=bool(found["best"]),
    )


def _marks() -> Sequence[str]:
    letters = [chr(ord("a") + i) for i in range(26)]
    return [*letters, *(one + two for one in letters for two in letters)]
