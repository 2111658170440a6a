from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store
from pipeline.tracking import client as tracking
from pipeline.tracking.coarse import MAX_KEYS
from tests.helpers.stores.mirrored_cells import LABELS, SWEEP, TIME, add_cell, live_cells, runs


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
