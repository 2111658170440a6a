"""A cell is finished whole or not at all, whatever stops its writing or spoils it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store, StoreError
from tests.pipeline.store.conftest import files, is_valid, result, tables


@pytest.mark.parametrize("ending", ["training.parquet", "gradient_ics.parquet", "result.json"])
@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_a_write_that_stops_leaves_the_cell_unfinished(
    ending: str, moment: str, local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    write = local._write
    real = {"fsync": os.fsync, "replace": os.replace}

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    def stopping(path: str, data: bytes) -> None:
        if not path.endswith(ending):
            return write(path, data)
        if moment == "write":
            raise KeyboardInterrupt
        monkeypatch.setattr(os, moment, stop)
        return write(path, data)

    monkeypatch.setattr(local, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        local.write_result(result(), tables())
    assert local.finished() == set()
    whole = {f"cells/aa/{name}" for name in ("training.parquet", "gradient_ics.parquet")}
    assert files(tmp_path) <= whole
    for name, function in real.items():
        monkeypatch.setattr(os, name, function)
    monkeypatch.setattr(local, "_write", write)
    written = local.write_result(result(), tables())
    assert local.finished() == {"aa"}
    assert local.files(written)


@pytest.mark.parametrize("ending", ["training.parquet", "gradient_ics.parquet", "result.json"])
def test_a_rerun_of_a_finished_cell_that_stops_leaves_nothing_between(
    ending: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_result(result(), tables(1.5))
    write = store._write

    def stopping(path: str, data: bytes) -> None:
        if path.endswith(ending):
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(store, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        store.write_result(result(number=2), tables(2.5))
    assert store.finished() == set() or is_valid(store)


def test_a_disk_that_does_not_keep_what_is_written_is_noticed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store._write

    def forgetful(path: str, data: bytes) -> None:
        write(path, data if path.endswith(".json") else data[:-1])

    monkeypatch.setattr(store, "_write", forgetful)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(StoreError, match=r"cells/aa: what is written does not stay"):
        store.write_result(result(), tables())


def test_what_a_killed_process_left_is_not_read(local: Store, tmp_path: Path) -> None:
    local.write_plan({"schema": SCHEMA, "name": "small", "cells": []})
    local.write_result(result("aa"), tables())
    left = tmp_path / "cells/bb"
    left.mkdir()
    (left / "result.json.0123.partial").write_text("{")
    (tmp_path / "sweeps/other").mkdir()
    (tmp_path / "sweeps/other/aa.json.0123.partial").write_text("{")
    assert (local.finished(), local.plans()) == ({"aa"}, ["small"])


def test_a_value_that_is_no_number_is_refused(local: Store) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        local.write_result(result(summary={"loss": float("nan")}), tables())
    assert local.finished() == set()
