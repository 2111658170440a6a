"""A table laid out for printing: its texts are decided here, so no two formats can disagree."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.tables.tables import Measure, Table
from analysis.text import numbers

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

    @property
    def marked(self) -> bool:
        """Whether a column bears the mark of measures that rescaling changes."""
        labels = [label for row in self.rows for label in row.labels]
        return any(RESCALES in text for text in [*self.heads, *labels])

    def footnotes(self) -> dict[str, str]:
        """A mark (a, b, … z, aa, …) for every distinct note, in reading order."""
        notes = [cell.note for row in self.rows for cell in row.cells if cell.note]
        return dict(zip(dict.fromkeys(notes), _marks(), strict=False))


def sheet(table: Table) -> Sheet:
    """Lay out a table: a row for every combination of its keys, a column a measure."""
    indexed = table.cells.set_index([*table.keys, "measure"]).sort_index()
    found = dict(zip(indexed.index, indexed.to_dict("records"), strict=True))
    keys = table.cells[table.keys].drop_duplicates().itertuples(index=False, name=None)
    rows = [
        Row(
            labels=[str(label) for label in key],
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
    )


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
