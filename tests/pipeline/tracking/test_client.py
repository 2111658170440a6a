from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store
from pipeline.tracking import client as tracking
from pipeline.tracking.coarse import MAX_KEYS
from pipeline.tracking.owner import owner_tag

SWEEP = "small"
TIME = "2026-01-02T03:04:05+00:00"
LABELS = {"data": "digits", "architecture": "vgg11", "normalizer": "batch", "lr": 0.1, "seed": 0}


def add_cell(store: Store, cell_id: str, final_loss: float = 1.0) -> None:
    """Write a finished cell with a training curve and one probe."""
    steps = list(range(120))
    training = {"step": steps, "lr": [0.1] * 120, "train_loss": [2.0 - s / 120 for s in steps]}
    probe = {"step": [0, 0, 50, 50], "layer": ["a", "b"] * 2, "relative": [0.0, 1.0, None, 3.0]}
    result = {
        "schema": SCHEMA,
        "cell_id": cell_id,
        "status": "ok",
        "settings": {"training": {"lr": 0.1}, "normalizer": [{"name": "batch", "eps": 1e-5}]},
        "labels": LABELS,
        "summary": {"final_train_loss": final_loss, "test_accuracy": None},
        "cost": {"seconds": 1.5, "seconds_per_step": 0.01},
        "provenance": {"time": TIME, "commit": "abc123", "data_digest": "f" * 64},
    }
    tables = {"training": pa.table(training), "gradient_ics": pa.table(probe)}
    store.write_result(result, tables)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "results"))
    store.write_plan({"schema": SCHEMA, "name": SWEEP, "cells": ["aa", "bb"]})
    add_cell(store, "aa")
    add_cell(store, "bb")
    return store


@pytest.fixture(scope="module")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without experiments: the migration takes seconds, a copy nothing."""
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(tmp_path: Path, fresh_database: Path, store: Store) -> str:
    uri = f"sqlite:///{shutil.copy(fresh_database, tmp_path / 'mlflow.db')}"
    tracking.prepare(uri, SWEEP, "a small sweep", store)
    return uri


def runs(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(SWEEP)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def live_cells(uri: str) -> dict[str, str]:
    """The status of every cell, by the run that counts."""
    live = [run.data.tags for run in runs(uri) if run.data.tags.get("superseded") != "true"]
    return {tags["cell_id"]: tags["status"] for tags in live if "cell_id" in tags}


def test_a_cell_becomes_one_ended_run_with_what_a_browser_needs(store: Store, uri: str) -> None:
    tracking.mirror(uri, SWEEP, store, "aa")
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "batch · vgg11 · lr 0.1 · s0"
    assert run.info.end_time == run.info.start_time + 1500
    tags = {key: run.data.tags[key] for key in ("cell_id", "status", "lr", "normalizer")}
    assert tags == {"cell_id": "aa", "status": "ok", "lr": "0.1", "normalizer": "batch"}
    parts = {key: run.data.params[key] for key in ("data", "architecture", "normalizer")}
    assert parts == {"data": "digits", "architecture": "vgg11", "normalizer": "batch"}
    assert run.data.tags["mlflow.source.name"] == "python -m pipeline.sweep"
    assert run.data.tags["mlflow.source.git.commit"] == "abc123"
    assert run.inputs is not None
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", "f" * 8)
    assert run.data.params["normalizer.0.eps"] == "1e-05"
    assert run.data.metrics["final/final_train_loss"] == 1.0
    assert run.data.metrics["gradient_ics/relative"] == 3.0
    assert len(run.data.metrics) <= MAX_KEYS
    curve = MlflowClient(uri).get_metric_history(run.info.run_id, "training/train_loss")
    assert {point.step for point in curve} >= {0, 119}
    assert len(curve) <= 40


def test_mirroring_again_sets_the_old_run_aside(store: Store, uri: str) -> None:
    tracking.mirror(uri, SWEEP, store, "aa")
    add_cell(store, "aa", final_loss=0.5)
    tracking.mirror(uri, SWEEP, store, "aa")
    live = [run for run in runs(uri) if run.data.tags.get("superseded") != "true"]
    assert len(runs(uri)) == 2
    assert [run.data.metrics["final/final_train_loss"] for run in live] == [0.5]


def test_a_failed_cell_is_a_failed_run_until_it_succeeds(store: Store, uri: str) -> None:
    failure = {
        "schema": SCHEMA,
        "cell_id": "cc",
        "labels": LABELS,
        "error": "ValueError: no",
        "time": TIME,
    }
    store.write_failure(failure)
    tracking.mirror_failure(uri, SWEEP, store, "cc")
    (run,) = runs(uri)
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "ValueError: no")
    add_cell(store, "cc")
    tracking.mirror_missing(uri, SWEEP, store, ["cc"])
    assert live_cells(uri) == {"cc": "ok"}


def test_completing_mirrors_what_is_missing_and_nothing_twice(store: Store, uri: str) -> None:
    tracking.mirror(uri, SWEEP, store, "aa")
    failure = {
        "schema": SCHEMA,
        "cell_id": "cc",
        "labels": LABELS,
        "error": "ValueError: no",
        "time": TIME,
    }
    store.write_failure(failure)
    for _ in range(2):
        tracking.mirror_missing(uri, SWEEP, store, ["aa", "bb", "cc", "dd"])
        assert live_cells(uri) == {"aa": "ok", "bb": "ok", "cc": "failed"}
        assert len(runs(uri)) == 4


def test_a_dead_run_does_not_stay_running(store: Store, uri: str) -> None:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(SWEEP)
    assert experiment is not None
    client.create_run(
        experiment.experiment_id,
        tags={
            "cell_id": "aa",
            "normscope.kind": "cell",
            "normscope.store": store.store_id,
            "status": "ok",
        },
    )
    tracking.prepare(uri, SWEEP, "a small sweep", store)
    (run,) = runs(uri)
    assert run.info.status == "KILLED"
    tracking.mirror_missing(uri, SWEEP, store, ["aa"])
    assert live_cells(uri) == {"aa": "ok"}


def test_a_store_comes_back_byte_for_byte(store: Store, uri: str, tmp_path: Path) -> None:
    store.write_failure(
        {"schema": SCHEMA, "cell_id": "cc", "labels": LABELS, "error": "no", "time": TIME}
    )
    tracking.mirror_missing(uri, SWEEP, store, ["aa", "bb", "cc"])
    tracking.download(uri, [], str(tmp_path / "copy"))

    def files(root: Path) -> dict[str, bytes]:
        found = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        del found["store.json"]  # which says where the store is
        return found

    assert files(tmp_path / "copy") == files(tmp_path / "results")
    assert Store(str(tmp_path / "copy")).store_id == store.store_id


def test_the_report_is_attached_to_one_summary_run(store: Store, uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.html").write_text("<p>conclusions</p>")
    tracking.mirror_missing(uri, SWEEP, store, [])
    tracking.attach_report(uri, SWEEP, str(folder), None, "- It is faster.", {"cells/ok": 2.0})
    (run,) = runs(uri)
    assert run.data.tags["mlflow.note.content"] == "- It is faster."
    assert run.data.tags["mlflow.source.name"] == "python -m analysis.report"
    assert run.data.metrics == {"cells/ok": 2.0}
    path = MlflowClient(uri).download_artifacts(run.info.run_id, "report/report.html")
    assert Path(path).read_text() == "<p>conclusions</p>"
    (plan_id,) = store.plan_ids(SWEEP)
    plan = MlflowClient(uri).download_artifacts(run.info.run_id, f"sweep/{plan_id}.json")
    assert json.loads(Path(plan).read_text())["cells"] == ["aa", "bb"]


def test_an_unknown_sweep_is_named_with_those_there_are(uri: str, tmp_path: Path) -> None:
    with pytest.raises(
        tracking.TrackingError, match="smal: no such sweep in MLflow; it has: small"
    ):
        tracking.download(uri, ["smal"], str(tmp_path / "copy"))


def test_a_sync_makes_the_runs_equal_to_the_store(store: Store, uri: str) -> None:
    """A duplicate, a run of another result, one of a cell that is no more, and one left RUNNING."""
    tracking.mirror(uri, SWEEP, store, "aa")
    tracking.mirror(uri, SWEEP, store, "bb")
    client = MlflowClient(uri)
    for run in runs(uri):
        client.set_tag(run.info.run_id, "superseded", "false")
    add_cell(store, "bb", final_loss=0.25)  # run again elsewhere
    add_cell(store, "cc")
    tracking.mirror(uri, SWEEP, store, "cc")
    for name in ("result.json", "failure.json"):
        store._remove(f"cells/cc/{name}")
    (first,) = [run for run in runs(uri) if run.data.tags["cell_id"] == "aa"]
    copied = {key: value for key, value in first.data.tags.items() if "mlflow" not in key}
    again = client.create_run(first.info.experiment_id, tags=copied)
    client.set_terminated(again.info.run_id)
    client.create_run(first.info.experiment_id, tags=copied)
    tracking.prepare(uri, SWEEP, "a small sweep", store)
    made = tracking.sync(uri, SWEEP, store, ["aa", "bb", "cc"])
    assert made == (1, 3, 2)
    live = [run for run in runs(uri) if run.data.tags.get("superseded") != "true"]
    losses = {r.data.tags["cell_id"]: r.data.metrics for r in live if "cell_id" in r.data.tags}
    assert set(losses) == {"aa", "bb"}
    assert losses["bb"]["final/final_train_loss"] == 0.25
    assert {run.info.status for run in runs(uri)} == {"FINISHED", "KILLED"}
    assert tracking.sync(uri, SWEEP, store, ["aa", "bb", "cc"]) == (0, 0, 2)


@pytest.mark.slow
def test_sixteen_processes_open_one_database_from_nothing(store: Store, tmp_path: Path) -> None:
    """Each prepares the sweep, which ends runs that are under way; once all have, each mirrors."""
    for number in range(16):
        add_cell(store, f"c{number}")
    uri = f"sqlite:///{tmp_path}/fresh.db"
    code = (
        "import os, sys, traceback\nfrom multiprocessing import get_context\n"
        "from pipeline.tracking import client as tracking\nfrom pipeline.store.store import Store\n"
        "prepared = get_context('fork').Barrier(16)\n"
        "def work(number):\n"
        f"    tracking.prepare({uri!r}, {SWEEP!r}, '', Store({store.uri!r}))\n"
        "    prepared.wait(120)\n"
        f"    tracking.mirror({uri!r}, {SWEEP!r}, Store({store.uri!r}), f'c{{number}}')\n"
        "children = []\n"
        "for number in range(16):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        code = 1\n"
        "        try:\n            work(number); code = 0\n"
        "        except BaseException:\n            traceback.print_exc()\n"
        "        finally:\n            os._exit(code)\n"
        "    children.append(child)\n"
        "sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    live = live_cells(uri)
    assert live == {f"c{number}": "ok" for number in range(16)}


def test_a_server_that_never_answers_costs_a_trial_ten_seconds_at_most() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://ada:hunter2@127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(tracking.TrackingError, match="cannot be used") as raised:
            tracking.prepare(uri, SWEEP, "", Store("memory://none"))
        assert time.monotonic() - start < 12
    assert "hunter2" not in str(raised.value)


def test_a_dead_server_is_given_up_within_seconds() -> None:
    start = time.monotonic()
    with pytest.raises(tracking.TrackingError, match=r"http://127.0.0.1:9: cannot be used"):
        tracking.prepare("http://127.0.0.1:9", SWEEP, "", Store("memory://none"))
    assert time.monotonic() - start < 30


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


def test_a_sync_looks_at_the_files_themselves(store: Store, uri: str) -> None:
    """A run whose files are gone, or are not whole, is no mirror, whatever its tags say."""
    tracking.mirror_missing(uri, SWEEP, store, ["aa", "bb"])
    for run in runs(uri):
        place = Path(str(run.info.artifact_uri).removeprefix("file://")) / "cell"
        if run.data.tags.get("cell_id") == "aa":
            shutil.rmtree(place)
        elif run.data.tags.get("cell_id") == "bb":
            (place / "training.parquet").write_bytes(b"PAR1")
    assert tracking.sync(uri, SWEEP, store, ["aa", "bb"]) == (2, 2, 2)
    assert tracking.sync(uri, SWEEP, store, ["aa", "bb"]) == (0, 0, 2)


@pytest.mark.parametrize("name", ["result.json", "training.parquet"])
def test_a_file_damaged_in_mlflow_is_refused_and_replaced(
    store: Store, uri: str, tmp_path: Path, name: str
) -> None:
    """Damage of one bit keeps the file's name and size, so that only its digest shows it."""
    tracking.mirror_missing(uri, SWEEP, store, ["aa"])
    (run,) = [each for each in runs(uri) if each.data.tags.get("cell_id") == "aa"]
    file = Path(str(run.info.artifact_uri).removeprefix("file://")) / "cell" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(tracking.TrackingError, match=f"cell aa: {name} .* damaged .* --sync"):
        tracking.download(uri, [SWEEP], str(tmp_path / "copy"))
    assert tracking.sync(uri, SWEEP, store, ["aa"]) == (1, 1, 1)
    tracking.download(uri, [SWEEP], str(tmp_path / "copy"))
    assert Store(str(tmp_path / "copy")).result("aa") == store.result("aa")


def test_a_sync_that_does_not_hold_is_said(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "log_files", lambda *_: None)
    with pytest.raises(tracking.TrackingError, match="still differs from the store in 2 cells"):
        tracking.sync(uri, SWEEP, store, ["aa", "bb"])


def test_a_deleted_experiment_is_said_with_what_to_do(
    store: Store, uri: str, tmp_path: Path
) -> None:
    tracking.mirror_missing(uri, SWEEP, store, ["aa"])
    experiment = MlflowClient(uri).get_experiment_by_name(SWEEP)
    assert experiment is not None
    number = experiment.experiment_id
    MlflowClient(uri).delete_experiment(number)
    attempts = [
        lambda: tracking.prepare(uri, SWEEP, "", store),
        lambda: tracking.sync(uri, SWEEP, store, ["aa"]),
        lambda: tracking.mirror_missing(uri, SWEEP, store, ["aa"]),
        lambda: tracking.attach_report(uri, SWEEP, str(tmp_path), None, "", {}),
        lambda: tracking.download(uri, [SWEEP], str(tmp_path / "copy")),
    ]
    for attempt in attempts:
        with pytest.raises(tracking.TrackingError, match=r"deleted in MLflow; .* --sync") as raised:
            attempt()
        assert f"mlflow experiments restore --experiment-id {number}" in str(raised.value)
        assert "\n" not in str(raised.value)
    MlflowClient(uri).restore_experiment(number)
    assert tracking.sync(uri, SWEEP, store, ["aa"]) == (0, 0, 1)


def test_a_long_description_is_cut_and_said(
    store: Store, tmp_path: Path, fresh_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{shutil.copy(fresh_database, tmp_path / 'long.db')}"
    tracking.prepare(uri, SWEEP, "x" * 20_001, store)
    assert "has 20001 characters, MLflow takes 20000; it is cut there" in capsys.readouterr().err
    experiment = MlflowClient(uri).get_experiment_by_name(SWEEP)
    assert experiment is not None
    assert experiment.tags["mlflow.note.content"] == "x" * 19_999 + "…"


def test_what_mlflow_raises_is_one_line(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*words: object, **options: object) -> None:
        raise ConnectionError("http://ada:hunter2@host went away\nin the midst of it")

    monkeypatch.setattr(MlflowClient, "create_run", refuse)
    with pytest.raises(tracking.TrackingError) as raised:
        tracking.mirror(uri, SWEEP, store, "aa")
    assert str(raised.value) == "MLflow: http://***@host went away"


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
