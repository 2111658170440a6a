"""Stores that share a server, and stores that were moved or copied."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store
from pipeline.tracking import client as tracking
from pipeline.tracking.owner import owner_tag
from tests.helpers.stores.mirrored_cells import SWEEP, add_cell, runs


def second_store(tmp_path: Path) -> Store:
    """Another store with a sweep of the same name, of which cell ``aa`` came out otherwise."""
    other = Store(str(tmp_path / "elsewhere"))
    other.write_plan({"schema": SCHEMA, "name": SWEEP, "cells": ["aa"]})
    add_cell(other, "aa", final_loss=0.125)
    return other


def test_two_stores_on_one_server_leave_each_other_alone(
    store: Store, uri: str, tmp_path: Path
) -> None:
    other = second_store(tmp_path)
    tracking.mirror_missing(uri, SWEEP, store, ["aa", "bb"])
    client = MlflowClient(uri)
    (mine,) = [run for run in runs(uri) if run.data.tags.get("cell_id") == "bb"]
    tags = {k: v for k, v in mine.data.tags.items() if "mlflow" not in k}
    running = client.create_run(mine.info.experiment_id, tags=tags)
    tracking.prepare(uri, SWEEP, "", other)
    assert client.get_run(running.info.run_id).info.status == "RUNNING"
    client.set_terminated(running.info.run_id, status="KILLED")
    tracking.mirror_missing(uri, SWEEP, other, ["aa"])
    assert tracking.sync(uri, SWEEP, other, ["aa"]) == (0, 0, 1)
    assert tracking.sync(uri, SWEEP, store, ["aa", "bb"]) == (0, 0, 2)
    for own, loss in ((store, 1.0), (other, 0.125)):
        folder = tmp_path / f"copy-{loss}"
        assert tracking.download(uri, [SWEEP], str(folder), own.store_id[:6]) == {
            SWEEP: own.store_id
        }
        assert Store(str(folder)).result("aa")["summary"]["final_train_loss"] == loss
        assert Store(str(folder)).store_id == own.store_id
    with pytest.raises(tracking.TrackingError, match=r"of these stores: .*--tracking-store"):
        tracking.download(uri, [SWEEP], str(tmp_path / "which"))
    with pytest.raises(tracking.TrackingError, match=r"of these stores, not zz: .*\(2 cells\)"):
        tracking.download(uri, [SWEEP], str(tmp_path / "which"), "zz")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["moved", "copied"])
def test_results_in_another_folder_have_their_artifacts_there(
    tmp_path: Path, fresh_database: Path, how: str
) -> None:
    old, new = tmp_path / "old results", tmp_path / "new place"
    first = Store(str(old))
    first.write_plan({"schema": SCHEMA, "name": SWEEP, "cells": ["aa"]})
    add_cell(first, "aa")
    shutil.copy(fresh_database, old / "mlflow.db")
    at_first = (
        "from pipeline.tracking import client as tracking\nfrom pipeline.store.store import Store\n"
        f"words = {f'sqlite:///{old}/mlflow.db'!r}, {SWEEP!r}\n"
        f"tracking.prepare(*words, '', Store({first.uri!r}))\n"
        f"tracking.mirror_missing(*words, Store({first.uri!r}), ['aa'])\n"
    )  # in another process, since MLflow keeps the places of artifacts in memory
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", at_first], cwd=root, check=True)
    before = {str(p.relative_to(old)) for p in old.rglob("*")}
    if how == "moved":
        old.rename(new)
    else:
        shutil.copytree(old, new)
    uri, moved = f"sqlite:///{new}/mlflow.db", Store(str(new))
    tracking.download(uri, [SWEEP], str(tmp_path / "copy"))
    assert Store(str(tmp_path / "copy")).result("aa") == moved.result("aa")
    assert tracking.sync(uri, SWEEP, moved, ["aa"]) == (0, 0, 1)
    add_cell(moved, "bb")
    tracking.mirror_missing(uri, SWEEP, moved, ["aa", "bb"])
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.html").write_text("here")
    tracking.attach_report(uri, SWEEP, str(folder), moved.store_id, "", {})
    assert list(new.glob("mlflow-artifacts/*/*/artifacts/report/report.html"))
    assert old.exists() == (how == "copied")
    if how == "copied":
        assert {str(p.relative_to(old)) for p in old.rglob("*")} == before


def test_a_copied_store_leaves_the_runs_of_the_other_alone(
    store: Store, uri: str, tmp_path: Path
) -> None:
    tracking.prepare(uri, SWEEP, "", store)
    tracking.mirror_missing(uri, SWEEP, store, ["aa", "bb"])
    shutil.copytree(store.uri, tmp_path / "copy")
    copied = Store(str(tmp_path / "copy"))
    add_cell(copied, "bb", 3.0)
    with pytest.raises(tracking.TrackingError) as raised:
        tracking.prepare(uri, SWEEP, "", copied)
    assert f"{copied.uri}: has the id of the store in {store.uri}" in str(raised.value)
    assert f"delete {copied.uri}/store.json" in str(raised.value)
    (tmp_path / "copy/store.json").unlink()
    own = Store(copied.uri)
    tracking.prepare(uri, SWEEP, "", own)
    assert tracking.sync(uri, SWEEP, own, ["aa", "bb"]) == (2, 0, 2)
    assert tracking.sync(uri, SWEEP, store, ["aa", "bb"]) == (0, 0, 2)


def test_a_copy_with_the_database_in_it_is_no_copy_there(store: Store, tmp_path: Path) -> None:
    store.settle()
    shutil.copytree(store.uri, tmp_path / "copy")
    copied = Store(str(tmp_path / "copy"))
    key = f"normscope.place.{store.store_id}"
    assert owner_tag(f"sqlite:///{copied.uri}/mlflow.db", copied, {}) == {key: copied.uri}
    assert copied.twin() == store.uri
    for elsewhere in (f"sqlite:///{tmp_path}/mlflow.db", "http://127.0.0.1:9"):
        with pytest.raises(tracking.TrackingError, match="one is a copy of the other"):
            owner_tag(elsewhere, copied, {})


def test_of_two_copies_of_a_store_that_is_gone_the_tag_tells_the_other(
    store: Store, uri: str, tmp_path: Path
) -> None:
    tracking.prepare(uri, SWEEP, "", store)
    shutil.copytree(store.uri, tmp_path / "copy")
    Path(store.uri).rename(tmp_path / "moved")
    tracking.prepare(uri, SWEEP, "", Store(str(tmp_path / "moved")))
    copied = Store(str(tmp_path / "copy"))
    assert copied.twin() is None
    for refused in (tracking.prepare, lambda u, s, _, c: tracking.refuse_copy(u, s, c)):
        with pytest.raises(tracking.TrackingError, match=f"the store in {tmp_path}/moved"):
            refused(uri, SWEEP, "", copied)


def test_a_database_moved_without_its_artifacts(store: Store, uri: str, tmp_path: Path) -> None:
    """While they are where they were, they are found; once gone, what to do is said, and done."""
    tracking.mirror_missing(uri, SWEEP, store, ["aa"])
    (tmp_path / "there").mkdir()
    shutil.move(tmp_path / "mlflow.db", tmp_path / "there/mlflow.db")
    moved = f"sqlite:///{tmp_path}/there/mlflow.db"
    assert tracking.sync(moved, SWEEP, store, ["aa"]) == (0, 0, 1)
    shutil.rmtree(tmp_path / "mlflow-artifacts")
    with pytest.raises(tracking.TrackingError, match=r"not where MLflow has them: .* --sync"):
        tracking.download(moved, [SWEEP], str(tmp_path / "copy"))
    assert tracking.sync(moved, SWEEP, store, ["aa"]) == (1, 1, 1)
    tracking.download(moved, [SWEEP], str(tmp_path / "copy"))
