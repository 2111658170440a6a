"""What is written comes back, on disk and in object storage."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import CellStates, Store, StoreError
from tests.pipeline.store.conftest import failure, result, tables


def test_a_cell_comes_back_as_written(store: Store) -> None:
    written = store.write_result(result(), tables())
    assert store.result("aa") == written
    assert {n: f["rows"] for n, f in written["records"].items()} == {
        "training.parquet": 2,
        "gradient_ics.parquet": 2,
    }
    assert store.finished() == {"aa"}
    assert Store(store.uri).finished() == {"aa"}
    for name, table in tables().items():
        found = store.records(written, name)
        assert found is not None
        assert found.to_pydict() == table.to_pydict()
        assert found.schema.types == table.schema.types
    assert store.records(written, "landscape") is None
    assert set(store.files(written)) == {*written["records"], "result.json"}


def test_parquet_carries_the_schema_and_keeps_dictionaries(local: Store, tmp_path: Path) -> None:
    local.write_result(result(), tables())
    schema = pyarrow.parquet.read_schema(tmp_path / "cells/aa/gradient_ics.parquet")
    assert schema.metadata[b"normscope_schema"] == str(SCHEMA).encode()
    assert pa.types.is_dictionary(schema.field("layer").type)


def test_a_plan_comes_back_as_written(store: Store) -> None:
    assert store.plans() == []
    plan = {"schema": SCHEMA, "name": "small-1", "description": "größer", "cells": ["aa"]}
    plan_id = store.write_plan(plan)
    store.write_plan({**plan, "name": "another"})
    assert store.plan("small-1") == plan == store.plan("small-1", plan_id)
    assert json.loads(store.plan_bytes("small-1", plan_id)).items() >= plan.items()
    assert store.plans() == ["another", "small-1"]


def test_a_failure_is_of_an_unfinished_cell_and_goes_with_its_result(store: Store) -> None:
    assert store.finished() == store.failed() == set()
    store.write_failure(failure("aa"))
    store.write_failure(failure("bb"))
    assert store.failed() == {"aa", "bb"}
    assert store.failure("aa") == failure("aa") == json.loads(store.failure_bytes("aa"))
    store.write_result(result("aa"), tables())
    assert (store.finished(), store.failed()) == ({"aa"}, {"bb"})
    with pytest.raises(StoreError, match=r"aa/failure\.json: no such file in the store"):
        store.failure("aa")
    store.write_failure(failure("aa"))
    assert (store.finished(), store.failed()) == ({"aa"}, {"bb"})


def test_how_cells_stand_is_one_of_each(store: Store) -> None:
    store.write_lost(failure("aa"))
    store.write_failure(failure("bb"))
    store.write_lost(failure("bb"))
    store.write_lost(failure("cc"))
    store.write_failure(failure("cc"))
    store.write_side_file("cc", "checkpoint.pt", b"half way")
    assert store.cell_states() == CellStates(set(), {"bb", "cc"}, {"aa"})
    store.write_result(result("cc"), tables())
    assert store.cell_states() == CellStates({"cc"}, {"bb"}, {"aa"})
    assert store.read_side_file("cc", "checkpoint.pt") is None
    assert (store.has_result("cc"), store.has_result("aa")) == (True, False)
    store.clear_outcome("bb")
    store.clear_outcome("cc")
    assert store.cell_states() == CellStates(set(), set(), {"aa"})


def test_a_table_is_its_bytes(local: Store) -> None:
    """The same numbers make the same file, so that digests of two trials can be compared."""
    first, again = (local.write_result(result(c), tables())["records"] for c in ("aa", "bb"))
    assert first == again
    data = local.files(local.result("aa"))["training.parquet"]
    assert (
        pyarrow.parquet.read_table(io.BytesIO(data)).to_pydict() == tables()["training"].to_pydict()
    )
