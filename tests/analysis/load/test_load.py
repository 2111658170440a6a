from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from analysis.load.sources import LABELS, load
from analysis.reductions import over_steps
from pipeline.store.store import Store
from tests.helpers.stores.small_store import SMALL, cell_of
from tests.helpers.stores.synthetic import write_store


def test_every_planned_cell_has_a_status(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL, failed=[("batch", 0.1, 0)], missing=[("batch", 0.1, 1)])
    study = load(str(tmp_path))
    status = study.planned.set_index(["normalizer", "lr", "seed"])["status"]
    assert status["batch", 0.1, 0] == "failed"
    assert status["batch", 0.1, 1] == "absent"
    assert status["none", 0.1, 0] == "diverged"
    assert (status == "ok").sum() == 5
    assert study.sweeps == ["synthetic"]
    assert study.problems == []
    assert len(study.runs) == 6


def test_runs_are_flat_and_records_carry_labels(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    study = load(str(tmp_path))
    run = study.runs[study.runs["status"] == "ok"].iloc[0]
    result = Store(str(tmp_path)).result(run["cell_id"])
    assert run["final_train_loss"] == result["summary"]["final_train_loss"]
    assert run["probe_seconds_landscape"] == result["cost"]["probe_seconds"]["landscape"]
    assert (run["steps"], run["batch_size"], run["optimizer"]) == (40, 128, "sgd")
    diverged = study.runs[study.runs["status"] == "diverged"].iloc[0]
    assert (diverged["diverged_step"], diverged["steps_done"], diverged["steps"]) == (20, 21, 40)
    for name, frame in study.records.items():
        assert {"cell_id", "step", *LABELS} <= set(frame.columns), name
        own = frame[frame["cell_id"] == run["cell_id"]]
        stored = Store(str(tmp_path)).records(result, name)
        assert stored is not None
        assert len(own) == stored.num_rows
        assert (own["seed"] == run["seed"]).all()
    assert study.provenance["commits"] == ["c0ffee"]
    assert study.provenance["data_digests"] == {"digits": ["d161"]}


def test_order_of_trials_changes_nothing(tmp_path: Path) -> None:
    write_store(tmp_path / "a", **SMALL)
    write_store(tmp_path / "b", **SMALL, order=7)
    one, other = load(str(tmp_path / "a")), load(str(tmp_path / "b"))
    pd.testing.assert_frame_equal(one.planned, other.planned)
    pd.testing.assert_frame_equal(one.runs, other.runs)
    for name in one.records:
        pd.testing.assert_frame_equal(one.records[name], other.records[name])


def test_rows_are_sorted_by_labels_and_step(tmp_path: Path) -> None:
    names = ["layer", "group(groups=16)", "batch", "group(groups=8)", "none"]
    write_store(tmp_path, architectures=["resnet110", "resnet20"], normalizers=names, seeds=[0])
    study = load(str(tmp_path))
    assert list(study.runs["architecture"].unique()) == ["resnet20", "resnet110"]
    ordered = ["none", "batch", "group(groups=8)", "group(groups=16)", "layer"]
    assert list(study.runs["normalizer"].unique()) == ordered
    training = study.records["training"]
    assert list(training["normalizer"].cat.categories) == ordered
    assert (training.groupby("cell_id", observed=True)["step"].diff().dropna() > 0).all()
    assert list(training["cell_id"].unique()) == list(study.runs["cell_id"])


def test_stuck_runs_are_those_that_stay_at_chance(tmp_path: Path) -> None:
    write_store(tmp_path / "a", **SMALL, stuck=[("batch", 0.01, 1)])
    runs = load(str(tmp_path / "a")).runs
    stuck = runs.loc[runs["stuck"], ["normalizer", "lr", "seed"]].to_numpy().tolist()
    assert stuck == [["batch", 0.01, 1]]
    write_store(tmp_path / "b", **SMALL, stuck=[("batch", 0.01, 1)], regression=True)
    regression = load(str(tmp_path / "b")).runs  # its best constant has a loss too
    found = regression.loc[regression["stuck"], ["normalizer", "lr", "seed"]]
    assert found.to_numpy().tolist() == stuck


def test_smoothed_loss_is_a_trailing_mean(tmp_path: Path) -> None:
    write_store(tmp_path, **{**SMALL, "normalizers": ["none"], "seeds": [1]}, lrs=[0.1])
    frame = load(str(tmp_path)).records["training"]
    loss, smooth = frame["train_loss"].to_numpy(), frame["smooth_loss"].to_numpy()
    assert smooth[0] == loss[0]
    assert smooth[2] == pytest.approx(loss[:3].mean())
    assert smooth[30] == pytest.approx(loss[26:31].mean())
    assert np.isnan(smooth[-1])
    assert over_steps.SMOOTH_LEAST == 5


def test_two_sweeps_share_cells_and_tell_like_labels_apart(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    write_store(tmp_path, **{**SMALL, "seeds": [0, 1, 2]}, sweep="wider")
    both = load(str(tmp_path))
    assert len(both.planned) == 8 + 12
    assert len(both.runs) == 12
    assert set(both.runs["training"]) == {""}
    write_store(tmp_path, **SMALL, sweep="shorter", steps=20)
    told = load(str(tmp_path), sweeps=["shorter", "synthetic"])
    assert set(told.runs["training"]) == {"steps=20", "steps=40"}
    assert load(str(tmp_path), sweeps=["shorter"]).runs["steps"].unique().tolist() == [20]


def test_tables_without_rows_or_columns_are_empty(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL, tables=["training"])
    store = Store(str(tmp_path))
    result = store.result(cell_of(tmp_path, "none", 0.01, 0))
    training = store.records(result, "training")
    assert training is not None
    store.write_result(result, {"training": training, "landscape": pa.table({})})
    study = load(str(tmp_path))
    assert study.problems == []
    assert study.records["landscape"].empty
    assert study.records["gradient_ics"].empty


def test_tracking_is_read_through_a_copied_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(tmp_path, **SMALL)

    def download(uri: str, sweeps: list[str], folder: str, store_id: str | None) -> None:
        assert store_id is None
        assert (uri, sweeps) == ("somewhere", ["synthetic"])
        shutil.copytree(tmp_path, folder, dirs_exist_ok=True)

    monkeypatch.setitem(sys.modules, "pipeline.tracking.client", SimpleNamespace(download=download))
    copied = load(tracking="somewhere", sweeps=["synthetic"])
    original = load(str(tmp_path))
    pd.testing.assert_frame_equal(copied.runs, original.runs)
    assert copied.provenance == original.provenance


def test_empty_store_and_wrong_names(tmp_path: Path) -> None:
    study = load(str(tmp_path))
    assert study.sweeps == []
    assert study.runs.empty
    write_store(tmp_path, **SMALL)
    with pytest.raises(ValueError, match=r"no sweep 'sythetic'.*synthetic"):
        load(str(tmp_path), sweeps=["sythetic"])
    with pytest.raises(ValueError, match="either"):
        load()
