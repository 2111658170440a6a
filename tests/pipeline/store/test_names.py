"""Nothing is read or written outside of a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store, StoreError
from tests.pipeline.store.conftest import failure, files, result, tables


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "", "/etc/x", "a/b", "a\\b", "A", "a b", "a\n", ".hidden", "x" * 65]
)
def test_a_name_that_could_leave_the_store_is_refused(
    name: str, local: Store, tmp_path: Path
) -> None:
    plan = {"schema": SCHEMA, "name": name, "cells": []}
    attempts: list[Callable[[], Any]] = [
        lambda: local.write_plan(plan),
        lambda: local.plan(name),
        lambda: local.plan("small", name),
        lambda: local.plan_bytes(name, "aa"),
        lambda: local.plan_bytes("small", name),
        lambda: local.planned_cells(name),
        lambda: local.write_result(result(name), tables()),
        lambda: local.write_result(result(), {name: tables()["training"]}),
        lambda: local.write_failure(failure(name)),
        lambda: local.result(name),
        lambda: local.failure(name),
        lambda: local.read_lost(name),
        lambda: local.has_result(name),
        lambda: local.write_side_file(name, "log.txt", b""),
        lambda: local.delete_side_file(name, "log.txt"),
        lambda: local.clear_outcome(name),
        lambda: local.write_lease(name, {}),
        lambda: local.drop_lease(name),
        lambda: local.write_lease(f"{name}/1-of-2", {}),
        lambda: local.write_stop(name, "abc"),
        lambda: local.lease_keys(name),
        lambda: local.write_mirrored(name, ""),
        lambda: local.write_file(f"cells/../{name}/result.json", b""),
    ]
    if "/" not in name:
        attempts.append(lambda: local.write_file(name, b""))
    for attempt in attempts:
        with pytest.raises(StoreError, match="not a name in a store"):
            attempt()
    assert files(tmp_path) == set()


def test_a_result_that_names_files_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    store = Store(str(tmp_path / "results"))
    hostile = result(records={"../../../secret": {}, "../../../secret.parquet": {}})
    store.write_file("cells/aa/result.json", json.dumps(hostile).encode())
    for read in (store.files, lambda found: store.records(found, "../../../secret")):
        with pytest.raises(StoreError, match="not a name in a store"):
            read(store.result("aa"))


def test_a_relative_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("results")
    monkeypatch.chdir("/")
    store.write_result(result(), tables())
    assert store.uri == str(tmp_path / "results")
    assert (tmp_path / "results/cells/aa/result.json").exists()


def test_a_remote_root_stays_a_uri() -> None:
    assert Store("memory://bucket/results/").uri.rstrip("/") == "memory://bucket/results"


@pytest.mark.parametrize("root", ["nonsense://bucket/x", "s4://x"])
def test_an_unknown_kind_of_place_is_refused(root: str) -> None:
    with pytest.raises(StoreError, match=f"{root}: not a place for a store"):
        Store(root)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file"))
    assert store.finished() == set()
    with pytest.raises(StoreError, match=r"file/cells/aa/failure\.json: cannot be written"):
        store.write_failure(failure())
