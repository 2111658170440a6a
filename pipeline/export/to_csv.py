"""CSV files: ``runs.csv`` with a row per cell, and a file per record table with all its rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.export.finished import Finished, read, run_id
from pipeline.store import Store


def export(sweep: str, digests: Mapping[str, str], folder: Path, store: Store) -> int:
    """Write all files anew where a result is missing in ``runs.csv``; returns how many were.

    Rows of a record table have the cell's id, labels and step first. Units are those of
    ``docs/results.md``.
    """
    del sweep
    runs = folder / "runs.csv"
    known = set(pd.read_csv(runs, dtype=str)["run_id"]) if runs.exists() else set()
    wanted = {run_id(cell_id, digest) for cell_id, digest in digests.items()}
    if known == wanted:
        return 0
    cells = [read(store, cell_id) for cell_id in digests]
    tables: dict[str, list[pd.DataFrame]] = {}
    for cell in cells:
        result = store.result(cell.cell_id)
        for name in (file.removesuffix(".parquet") for file in result["records"]):
            table = store.records(result, name)
            if table is not None:
                tables.setdefault(name, []).append(_labelled(cell, table.to_pandas()))
    for name, frames in tables.items():
        _write(pd.concat(frames, ignore_index=True), folder / f"{name}.csv")
    rows = [
        _identity(cell) | {"run_id": cell.run_id} | cell.settings | cell.final for cell in cells
    ]
    _write(pd.DataFrame(rows), runs)  # last: it says which cells are there
    return len(wanted - known)


def _identity(cell: Finished) -> dict[str, object]:
    return {"cell_id": cell.cell_id, "status": cell.status, **cell.labels}


def _labelled(cell: Finished, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with the cell's columns first; a column of the table itself keeps its name."""
    own = {key: value for key, value in _identity(cell).items() if key not in frame}
    return pd.concat([pd.DataFrame(own, index=frame.index), frame], axis=1)


def _write(frame: pd.DataFrame, path: Path) -> None:
    part = path.with_suffix(".part")
    frame.to_csv(part, index=False)
    os.replace(part, path)
