"""Stores on a disk and in object storage, and what is written there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store

ODD = "ein Ordner – größer (1) [a] 100%"
"""A folder's name with spaces, unicode, and what globs and URLs give a meaning to."""


@pytest.fixture(params=["local", "odd", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param != "memory":
        yield Store(str(tmp_path / ("results" if request.param == "local" else ODD)))
        return
    yield Store("memory://bucket/results")
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def result(cell_id: str = "aa", **changes: Any) -> dict[str, Any]:
    return {"schema": SCHEMA, "cell_id": cell_id, "status": "ok", **changes}


def tables(loss: float = 1.5) -> dict[str, pa.Table]:
    words = pa.array(["a", "b"]).dictionary_encode()
    return {
        "training": pa.table({"step": [0, 1], "train_loss": [loss, None]}),
        "gradient_ics": pa.table({"step": [0, 0], "layer": words}),
    }


def failure(cell_id: str = "aa") -> dict[str, Any]:
    return {"schema": SCHEMA, "cell_id": cell_id, "error": "ValueError: größer"}


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def is_valid(store: Store, cell_id: str = "aa") -> bool:
    written = store.result(cell_id)
    tables = [store.records(written, name.removesuffix(".parquet")) for name in written["records"]]
    return len(tables) == 2 and None not in tables
