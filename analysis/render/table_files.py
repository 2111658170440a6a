"""Tables as data, every digit kept; results and manifest as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from analysis.metrics import Measure
from analysis.tables import FACTS, Table

_PARTS = {
    "estimate": "",
    "low": "lower end of the 95 % interval",
    "high": "upper end of the 95 % interval",
    "n": "runs behind the estimate (normalizers, where they are ranked)",
}
_EXTRA = {
    "p": "p-value of the paired sign-flip test",
    "p_holm": "p-value after Holm's correction",
}
_PLAIN = {"n", "lr_seeds", "reached"}
"""Counts: without the measure's unit."""


def wide(table: Table) -> pd.DataFrame:
    """A row per row of the table: keys, then ``m``, ``m_low``, ``m_high``, ``m_n`` per measure.

    And ``m_x`` for every ``x`` of `Table.extra`, and of `FACTS` where some cell has it.
    """
    rows = table.cells[table.keys].drop_duplicates().astype(str).reset_index(drop=True)
    cells = table.cells.astype(dict.fromkeys(table.keys, str)).set_index(table.keys)
    index = pd.MultiIndex.from_frame(rows)
    columns: dict[str, Any] = {name: rows[name] for name in table.keys}
    for measure in table.measures:
        own = cells[cells["measure"] == measure.key].reindex(index)
        for name in [*_PARTS, *table.extra, *_facts(own)]:
            columns[column(measure, name)] = own[name].to_numpy(float)
        columns[f"{measure.key}_n"] = pd.Series(columns[f"{measure.key}_n"]).fillna(0).astype(int)
    return pd.DataFrame(columns)


def _facts(cells: pd.DataFrame) -> list[str]:
    return [name for name in FACTS if name in cells and cells[name].notna().any()]


def column(measure: Measure, part: str) -> str:
    """Name of a column: ``m`` for the estimate, ``m_low`` for the lower end, and so on."""
    return measure.key if part == "estimate" else f"{measure.key}_{part}"


def codebook(tables: Sequence[Table]) -> bytes:
    """A row per column of the tables' files: table, column, title, unit, definition."""
    rows = [row for table in tables for row in _entries(table)]
    frame = pd.DataFrame(rows, columns=["table", "column", "title", "unit", "definition"])
    return frame.to_csv(index=False, lineterminator="\n").encode()


def _entries(table: Table) -> Iterator[tuple[str, str, str, str, str]]:
    for key in table.keys:
        yield table.name, key, key, "", f"label of the row: its {key}"
    meanings = {**_PARTS, **_EXTRA, **FACTS}
    present = set(wide(table).columns)
    for measure in table.measures:
        for part, meaning in meanings.items():
            name = column(measure, part)
            if name in present:
                unit = "" if part in _PLAIN | _EXTRA.keys() | {"lr"} else measure.unit
                title = f"{measure.title}: {part}" if meaning else measure.title
                yield table.name, name, title, unit or "1", meaning or measure.definition


def csv(table: Table) -> bytes:
    """Comma-separated, floats as the shortest text that reads back as the same number."""
    return wide(table).to_csv(index=False, lineterminator="\n").encode()


def parquet(table: Table) -> bytes:
    """The same columns as Parquet."""
    sink = io.BytesIO()
    wide(table).to_parquet(sink, index=False)
    return sink.getvalue()


def as_json(content: Any) -> bytes:
    """Indented JSON; not a number where a number is not known is null, never NaN."""
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return f"{text}\n".encode()
