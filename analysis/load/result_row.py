"""One finished cell: its result as a row, its record tables typed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.load import provenance
from pipeline.spec import optimizer_label
from pipeline.store import Store, StoreError, json_bytes

FINISHED = ("ok", "diverged", "time_limit")
"""How a finished cell ended; ``time_limit``: its time limit cut it."""


def result(store: Store, cell_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A cell's ``result.json``, and its row.

    Raises:
        StoreError: if it is damaged, or not what a trial writes.
    """
    found = store.result(cell_id)
    try:
        _ = dict(found["records"])
        known = row(found)
        provenance.study_facts(found)
        if found["cell_id"] != cell_id or found["status"] not in FINISHED:
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise StoreError(f"cells/{cell_id}/result.json: not what a trial writes") from None
    return found, known


def tables(store: Store, result: dict[str, Any]) -> dict[str, pa.Table]:
    """A cell's record tables: words as strings, whole numbers as int64, all else as float64.

    Raises:
        StoreError: if a file is missing, or not what was written. pa.ArrowException: if it is no
        Parquet file.
    """
    names = [name.removesuffix(".parquet") for name in result["records"]]
    return {name: _typed(store.records(result, name), result["cell_id"], name) for name in names}


def _typed(table: pa.Table | None, cell_id: str, name: str) -> pa.Table:
    if table is None or (table.num_rows and "step" not in table.column_names):
        raise StoreError(f"cells/{cell_id}/{name}.parquet: has no column 'step'")
    fields = [pa.field(field.name, _type(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def _type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.string()
    return pa.int64() if pa.types.is_integer(kind) else pa.float64()


def row(result: dict[str, Any]) -> dict[str, Any]:
    """The row of `Study.runs` but for the labels."""
    training = result["settings"]["training"]
    words = {key: result[key] for key in ("cell_id", "status")}
    words["optimizer"] = optimizer_label(training.get("optimizer"))
    words["digest"] = _digest(result)
    numbers = {"diverged_step": result["diverged_step"]}
    numbers |= {key: training[key] for key in ("steps", "batch_size")}
    summary, cost = dict(result["summary"]), dict(result["cost"])
    numbers["chance_loss"] = summary.pop("chance_loss")
    numbers["steps_done"] = summary.pop("steps")
    for key in ("probe_seconds", "probe_memory_bytes"):
        cost |= {f"{key}_{name}": value for name, value in cost.pop(key, {}).items()}
    numbers |= summary | cost
    return words | {key: np.nan if v is None else float(v) for key, v in numbers.items()}


def _digest(result: dict[str, Any]) -> str:
    """sha256 of the cell's ``result.json``, as the store writes it."""
    return hashlib.sha256(json_bytes(result)).hexdigest()
