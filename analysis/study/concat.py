"""Cells one below the other: rows of runs, and their tables with their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.study import label_order
from analysis.study.study import LABELS

_WORDS = ["cell_id", "status", "optimizer", "digest"]
_EXPECTED = ("diverged_step", "steps", "chance_loss", "initial_loss", "final_train_loss")
_EXPECTED += (
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "seconds_per_step",
    "peak_memory_bytes",
)


def runs(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The cells' rows (of `cells.row`) as a frame, without labels."""
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=list(dict.fromkeys([*_WORDS, *_EXPECTED, *frame.columns])))
    numbers = [name for name in frame.columns if name not in _WORDS]
    return frame.astype(dict.fromkeys(numbers, float) | dict.fromkeys(_WORDS, "str"))


def records(cells: Sequence[str], tables: Mapping[str, Mapping[str, pa.Table]]) -> Any:
    """By name, the cells' tables one below the other (`stacked`)."""
    names = sorted({name for own in tables.values() for name in own})
    return {name: stacked(cells, [tables[cell].get(name) for cell in cells]) for name in names}


def stacked(cells: Sequence[str], tables: Sequence[pa.Table | None]) -> pd.DataFrame:
    """The cells' tables, each sorted by step, with a category ``cell_id``; words as categories."""
    present = [table for table in tables if table is not None and table.num_rows]
    empty = pa.table({"step": pa.array([], pa.int64())})
    frame = pa.concat_tables(present or [empty], promote_options="permissive").to_pandas()
    frame = frame.rename(columns={"lr": "step_lr"})
    for name in frame.select_dtypes("str").columns:
        frame[name] = frame[name].astype("category")
    cell = np.repeat(np.arange(len(cells)), [0 if t is None else t.num_rows for t in tables])
    frame["cell_id"] = pd.Categorical.from_codes(cell, dtype=pd.CategoricalDtype(list(cells)))
    return frame.iloc[np.lexsort((frame["step"], cell))].reset_index(drop=True)


def labelled(frame: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of the runs, ``cell_id`` by it, with their labels; words as categories."""
    for name in LABELS:
        frame[name] = _repeated(runs[name], np.asarray(frame["cell_id"].cat.codes))
    return frame


def _repeated(column: pd.Series, run: np.ndarray) -> Any:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()[run]
    return pd.Categorical(column, categories=label_order.names(column)).take(run)
