"""Record tables: types, order, and what becomes of values that are not there."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from pipeline.trial.record_tables import probe_table, training_table

CURVE: dict[str, list[Any]] = {
    "step": [0, 1, 2],
    "lr": [0.1, 0.1, 0.05],
    "train_loss": [3.0, 2.0, 1.0],
    "train_accuracy": [0.25, 0.5, 0.75],
}
SPLITS = ("eval_train", "validation", "test")


def evaluation(step: int, value: float | None = 1.5) -> dict[str, Any]:
    names = [f"{split}_{name}" for split in SPLITS for name in ("loss", "accuracy")]
    return {"step": step, **dict.fromkeys(names, value)}


def test_evaluations_join_the_curve_and_the_last_has_a_row_of_its_own() -> None:
    table = training_table(CURVE, [evaluation(0), evaluation(2), evaluation(3, 0.5)])
    assert table.to_pydict() == {
        "step": [0, 1, 2, 3],
        "lr": [0.1, 0.1, 0.05, None],
        "train_loss": [3.0, 2.0, 1.0, None],
        "train_accuracy": [0.25, 0.5, 0.75, None],
        **{
            name: [1.5, None, 1.5, 0.5]
            for name in (f"{split}_{name}" for split in SPLITS for name in ("loss", "accuracy"))
        },
    }
    assert table.schema.types == [pa.int64(), *[pa.float64()] * 9]


def test_types_do_not_depend_on_what_is_missing() -> None:
    """A regression's accuracies, and splits without samples, are columns of nulls."""
    curve = {**CURVE, "train_accuracy": [None] * 3}
    table = training_table(curve, [evaluation(0, None), evaluation(3, None)])
    assert table.schema.types == [pa.int64(), *[pa.float64()] * 9]
    assert table["train_accuracy"].null_count == table["test_loss"].null_count == 4


def test_a_loss_that_diverged_stays_what_it_was() -> None:
    curve = {name: column[:1] for name, column in CURVE.items()} | {"train_loss": [math.inf]}
    table = training_table(curve, [evaluation(0), evaluation(1, math.nan)])
    assert table["train_loss"].to_pylist() == [math.inf, None]
    last = table["test_loss"].to_pylist()[-1]
    assert last is None or math.isnan(last)


def test_a_probes_blocks_are_joined_in_order() -> None:
    first = {"step": [0, 0], "layer": ["a", "b"], "index": [1, 2], "relative": [0.0, 1.0]}
    second = {"step": [5, 5], "layer": ["a", "b"], "index": [1, 2], "relative": [2.0, 3.0]}
    table = probe_table([first, second])
    assert table.to_pydict() == {name: first[name] + second[name] for name in first}
    assert table.schema.types == [
        pa.int64(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.int64(),
        pa.float64(),
    ]


def test_what_is_not_defined_is_null_and_what_is_infinite_stays() -> None:
    table = probe_table([{"step": [0, 0, 0], "value": [math.nan, None, math.inf]}])
    assert table["value"].to_pylist() == [None, None, math.inf]
    assert table["value"].type == pa.float64()


@pytest.mark.parametrize("column", [[None, None], [math.nan, math.nan], [None, 1.0]])
def test_a_measure_is_a_float_even_where_its_first_value_is_missing(column: list[Any]) -> None:
    table = probe_table([{"step": [0, 0], "value": column}])
    assert table["value"].type == pa.float64()
    assert table["value"].null_count == 2 - column.count(1.0)
