"""Damaged files are named when they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store, StoreError
from tests.pipeline.store.conftest import result, tables


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: data + b" ",
    ],
)
def test_a_changed_record_file_is_named(
    change: Callable[[bytes], bytes], local: Store, tmp_path: Path
) -> None:
    written = local.write_result(result(), tables())
    path = tmp_path / "cells/aa/training.parquet"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(StoreError, match=r"cells/aa/training\.parquet: .*digest"):
        local.records(written, "training")
    with pytest.raises(StoreError, match=r"cells/aa/training\.parquet: .*digest"):
        local.files(written)
    assert local.records(written, "gradient_ics") is not None


def test_a_missing_file_is_named(store: Store) -> None:
    written = store.write_result(result(), tables())
    store._remove("cells/aa/training.parquet")
    with pytest.raises(StoreError, match=r"cells/aa/training\.parquet: no such file"):
        store.records(written, "training")
    for read, name in ((store.result, "bb/result"), (store.plan, "bb"), (store.failure, "aa/fail")):
        with pytest.raises(StoreError, match=rf"{name}.*: no such file in the store"):
            read(name.partition("/")[0])


def test_a_result_of_another_cell_is_named(store: Store) -> None:
    """Somebody has copied a cell's folder over another one's."""
    store.write_result(result(), tables())
    store.write_file("cells/bb/result.json", store.ending_bytes("aa"))
    with pytest.raises(StoreError, match=r"cells/bb/result\.json: the result of cell aa"):
        store.result("bb")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged, not JSON"),
        (b'{"schema": 1, "cell', "damaged, not JSON"),
        (b"\xff\xfe", "damaged, not JSON"),
        (b'{"schema": 99}', f"schema 99, this version reads {SCHEMA}"),
        (b'{"cell_id": "aa"}', "schema None"),
        (b"[1]", "schema None"),
        (b"null", "schema None"),
    ],
)
def test_a_damaged_result_is_named(content: bytes, said: str, store: Store) -> None:
    store.write_file("cells/aa/result.json", content)
    with pytest.raises(StoreError, match=rf"cells/aa/result\.json: {said}"):
        store.result("aa")
