"""A report of a sweep's name that stands for several plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.load.sources import load
from analysis.report.command import main
from pipeline.store.store import Store
from tests.helpers.stores.synthetic import write_store

SMALL: dict[str, Any] = {
    "architectures": ["mlp"],
    "normalizers": ["none", "batch"],
    "lrs": [0.1],
    "seeds": [0, 1],
    "tables": ["training"],
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A finished sweep of four cells; then a trial run of the same name, all finished too."""
    store = Store(str(tmp_path / "store"))
    write_store(tmp_path / "store", **SMALL)
    write_store(tmp_path / "store", **SMALL, steps=10, sweep="trial")
    trial = {**store.plan("trial"), "name": "synthetic"}
    store.write_plan(trial, ["training.steps=10"])
    return store


def ids(store: Store) -> list[str]:
    """Of the finished sweep's plan, and of the trial run's."""
    return [plan.plan_id for plan in store.plans_of("synthetic", store.finished())]


def test_a_trial_run_does_not_displace_the_finished_sweep(store: Store) -> None:
    study = load(store.uri, sweeps=["synthetic"])
    assert set(study.runs["steps"]) == {40}
    assert len(study.planned) == 4
    (note,) = study.notes
    sweep, trial = ids(store)
    assert f"the report is of plan {sweep} (4 of 4 cells finished" in note
    assert f"other plans of this name: {trial} (4 of 4 cells finished, --set training" in note
    assert "--plan ID shows one (--against-plan ID" in note


def test_another_plan_is_shown_where_it_is_asked_for(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep, trial = ids(store)
    where = ["--storage", store.uri, "--tracking", "none", "--out", str(tmp_path / "out")]
    assert main(["synthetic", "--plan", trial[:8], *where]) == 0
    assert f"the report is of plan {trial}" in capsys.readouterr().err
    page = (tmp_path / "out" / "report.md").read_text()
    assert f"the report is of plan {trial}" in page
    assert sweep in page
    assert main(["synthetic", "--plan", "nothing", *where]) == 2
    said = capsys.readouterr().err
    assert "--plan nothing: no such plan; there are synthetic: " in said
    assert all(each in said for each in (sweep, trial))


def test_two_plans_of_one_name_are_compared(store: Store, tmp_path: Path) -> None:
    _, trial = ids(store)
    where = ["--storage", store.uri, "--tracking", "none", "--out", str(tmp_path / "out")]
    assert main(["synthetic", "--against", "synthetic", *where]) == 2
    assert main(["synthetic", "--against", "synthetic", "--against-plan", trial, *where]) == 0
    assert "training.steps" in (tmp_path / "out" / "report.md").read_text()


def test_a_damaged_plan_hides_no_other(store: Store) -> None:
    _, trial = ids(store)
    (Path(store.uri) / "sweeps/synthetic" / f"{trial}.json").write_text("{")
    study = load(store.uri, sweeps=["synthetic"])
    assert set(study.runs["steps"]) == {40}
    assert f"sweeps/synthetic/{trial}.json: damaged" in study.problems[0]


def test_a_single_plan_is_not_spoken_of(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    assert load(str(tmp_path)).notes == []
