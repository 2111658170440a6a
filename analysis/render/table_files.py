"""Tables as data, every digit kept; results and manifest as JSON."""

from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd

from analysis.tables.tables import Table

_PARTS = {"": "estimate", "_low": "low", "_high": "high", "_n": "n"}


def wide(table: Table) -> pd.DataFrame:
    """A row per row of the table: keys, then ``m``, ``m_low``, ``m_high``, ``m_n`` per measure.

    And ``m_x`` for every ``x`` of `Table.extra`.
    """
    rows = table.cells[table.keys].drop_duplicates().astype(str).reset_index(drop=True)
    cells = table.cells.astype(dict.fromkeys(table.keys, str)).set_index(table.keys)
    index = pd.MultiIndex.from_frame(rows)
    columns: dict[str, Any] = {name: rows[name] for name in table.keys}
    for measure in table.measures:
        own = cells[cells["measure"] == measure.key].reindex(index)
        for suffix, part in (_PARTS | {f"_{name}": name for name in table.extra}).items():
            values = own[part].to_numpy(float)
            columns[measure.key + suffix] = values
        columns[f"{measure.key}_n"] = pd.Series(columns[f"{measure.key}_n"]).fillna(0).astype(int)
    return pd.DataFrame(columns)


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
