"""Records as typed tables: wide, one row a step (and layer, or line), sorted by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

_EVALUATED = ("eval_train_loss", "eval_train_accuracy", "validation_loss", "validation_accuracy")
_EVALUATED += ("test_loss", "test_accuracy")


def training_table(
    curve: Mapping[str, Sequence[Any]], evaluations: Sequence[Mapping[str, Any]]
) -> pa.Table:
    """Join the loop's curve with its evaluations; what was not measured at a step is null.

    The evaluation of the trained network has a row of its own, without a batch loss.
    """
    steps = sorted({*curve["step"], *(row["step"] for row in evaluations)})
    at = {step: i for i, step in enumerate(curve["step"])}
    evaluated = {row["step"]: row for row in evaluations}
    columns: dict[str, pa.Array] = {"step": pa.array(steps, pa.int64())}
    for name in ("lr", "train_loss", "train_accuracy"):
        values = [curve[name][at[step]] if step in at else None for step in steps]
        columns[name] = pa.array(values, pa.float64())
    for name in _EVALUATED:
        values = [evaluated.get(step, {}).get(name) for step in steps]
        columns[name] = pa.array(values, pa.float64())
    return pa.table(columns)


def probe_table(blocks: Sequence[Mapping[str, Sequence[Any]]]) -> pa.Table:
    """Concatenate a probe's blocks; words become dictionaries, and NaN (not defined) null."""
    names = blocks[0].keys() if blocks else ()
    columns = {name: [value for block in blocks for value in block[name]] for name in names}
    return pa.table({name: _column(values) for name, values in columns.items()})


def _column(values: Sequence[Any]) -> pa.Array:
    if isinstance(values[0], str):
        return pa.array(values).dictionary_encode()
    if isinstance(values[0], int):
        return pa.array(values, pa.int64())
    return pa.array(values, pa.float64(), from_pandas=True)
