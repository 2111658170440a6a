"""A report from MLflow alone is the report from the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from analysis.report.command import main
from pipeline.store.store import Store
from pipeline.tracking import client as tracking
from tests.helpers.stores.synthetic import write_store

LOST = ("none", 0.1, 0)


@pytest.fixture(scope="module")
def reports(all_undrawn: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The folders of the two reports, and MLflow's URI; one cell of the sweep has failed."""
    folder = tmp_path_factory.mktemp("sources")
    write_store(
        folder / "results",
        architectures=["vgg11"],
        normalizers=["none", "batch"],
        seeds=[0, 1],
        failed=[LOST],
    )
    store, uri = Store(str(folder / "results")), f"sqlite:///{folder}/mlflow.db"
    tracking.prepare(uri, "synthetic", "", store)
    tracking.mirror_missing(uri, "synthetic", store, store.plan("synthetic")["cells"])
    one, other = folder / "one", folder / "other"
    source = ["synthetic", "--storage", str(folder / "results"), "--tracking", "none"]
    assert main([*source, "--out", str(one)]) == 0
    assert main(["synthetic", "--tracking", uri, "--out", str(other)]) == 0
    return one, other, uri


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_the_two_reports_are_the_same_bytes(reports: tuple[Path, Path, str]) -> None:
    one, other = files(reports[0]), files(reports[1])
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
    assert {"report.html", "tables/table1_ics.csv", "results.json"} <= one.keys()
    assert json.loads(one["results.json"])


def test_the_failed_cell_is_counted_in_both(reports: tuple[Path, Path, str]) -> None:
    for folder in reports[:2]:
        assert "8 cells planned = " in (folder / "report.md").read_text(encoding="utf-8")
        assert "+ 1 failed + 0 absent" in (folder / "report.md").read_text(encoding="utf-8")


def test_the_report_is_in_the_summary_run(reports: tuple[Path, Path, str]) -> None:
    client = MlflowClient(reports[2])
    experiment = client.get_experiment_by_name("synthetic")
    assert experiment is not None
    (run,) = client.search_runs(
        [experiment.experiment_id], filter_string="tags.`normscope.kind` = 'summary'"
    )
    names = {file.path for file in client.list_artifacts(run.info.run_id, "report")}
    assert "report/report.html" in names
