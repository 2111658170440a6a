"""Plans are kept by content: a run of other cells under the same name displaces none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.filesystem import SCHEMA
from pipeline.store.plans import chosen
from pipeline.store.store import Store, StoreError
from tests.pipeline.store.conftest import result, tables


def plan(*cells: str, **others: Any) -> dict[str, Any]:
    return {"schema": SCHEMA, "name": "small", "cells": list(cells), **others}


def shown(store: Store) -> list[str]:
    return store.plans_of("small", store.finished())[0].cells


def test_the_same_cells_are_the_same_plan_whatever_their_order(store: Store) -> None:
    first = store.write_plan(plan("aa", "bb", description="one"))
    assert store.write_plan(plan("bb", "aa", description="other")) == first
    assert store.plan_ids("small") == [first]
    assert store.plan("small")["description"] == "other"


def test_the_plan_with_the_most_finished_cells_is_shown(store: Store) -> None:
    store.write_plan(plan("aa"))
    store.write_result(result("aa"), tables())
    store.write_plan(plan("bb", "cc"), ["training.steps=3"])
    assert shown(store) == ["aa"]
    store.write_result(result("bb"), tables())
    store.write_result(result("cc"), tables())
    assert shown(store) == ["bb", "cc"]
    assert sorted(store.planned_cells("small")) == ["aa", "bb", "cc"]


def test_of_equally_finished_plans_one_without_set_and_then_the_latest_is_shown(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.store import plans

    class Clock:
        second = 0

        @classmethod
        def now(cls, zone: object) -> Any:
            from datetime import UTC, datetime

            cls.second += 1
            return datetime(2026, 1, 1, 0, 0, cls.second, tzinfo=UTC)

    monkeypatch.setattr(plans, "datetime", Clock)
    store.write_plan(plan("aa"))
    store.write_plan(plan("bb"), ["training.steps=3"])
    assert shown(store) == ["aa"]
    store.write_plan(plan("cc"))
    assert shown(store) == ["cc"]
    store.write_plan(plan("aa"))
    assert shown(store) == ["aa"]


def test_a_plan_is_named_by_how_its_id_begins(store: Store) -> None:
    first, second = (store.write_plan(plan(cell)) for cell in ("aa", "bb"))
    found = store.plans_of("small", ())
    assert chosen(found, [second[:6]]).plan_id == second
    assert chosen(found, [first]).plan_id == first
    with pytest.raises(ValueError, match="fits several plans of small"):
        chosen(found, [first, second])


def test_secrets_in_changes_are_hidden(store: Store) -> None:
    store.write_plan(plan("aa"), ["data.path=s3://ada:hunter2@host/x"])
    (found,) = store.plans_of("small", ())
    assert found.changes == ["data.path=s3://***@host/x"]


def test_a_store_has_one_id_which_moves_with_it(tmp_path: Path) -> None:
    first = Store(str(tmp_path / "one")).store_id
    assert Store(str(tmp_path / "one")).store_id == first
    assert Store(str(tmp_path / "two")).store_id != first
    (tmp_path / "one").rename(tmp_path / "three")
    assert Store(str(tmp_path / "three")).store_id == first


def test_a_copied_store_has_a_twin_and_a_moved_one_has_none(tmp_path: Path) -> None:
    one = Store(str(tmp_path / "one"))
    one.settle()
    shutil.copytree(one.uri, tmp_path / "two")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert Store(str(tmp_path / "one")).twin() is None
    assert Store(str(tmp_path / "link")).twin() is None  # the same, by another path
    assert Store(str(tmp_path / "two")).twin() == one.uri
    shutil.rmtree(tmp_path / "one")
    moved = Store(str(tmp_path / "two"))
    assert moved.twin() is None
    moved.settle()
    assert moved.store_id == one.store_id
    Store(one.uri).settle()  # another one appears in the first place, with an id of its own
    assert Store(str(tmp_path / "two")).twin() is None


def test_a_store_of_which_no_place_is_known_has_no_twin(store: Store) -> None:
    store.write_identity("0123456789ab")
    assert store.twin() is None
    store.settle()
    assert Store(store.uri).store_id == "0123456789ab"


def test_of_two_that_make_the_id_at_once_the_first_one_counts(store: Store) -> None:
    store._write_once("store.json", b"first")
    store._write_once("store.json", b"second")
    assert store._read("store.json") == b"first"
    assert [path.rsplit("/", 1)[-1] for path in store._find("")] == ["store.json"]


def test_a_sweep_that_is_not_there_is_named(store: Store) -> None:
    store.write_plan({**plan("aa"), "name": "other"})
    with pytest.raises(StoreError, match="sweeps/small: no such file"):
        store.plan("small")
