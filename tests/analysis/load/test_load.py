from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from analysis.load.sources import LABELS, load
from analysis.reductions import over_steps
from pipeline.store.filesystem import SCHEMA
from pipeline.store.seal import sealed
from pipeline.store.store import Store, StoreError
from tests.helpers.synthetic_store import write_store

SMALL: dict[str, Any] = {
    "architectures": ["vgg11"],
    "normalizers": ["none", "batch"],
    "seeds": [0, 1],
}


def cell_of(folder: Path, normalizer: str, lr: float, seed: int, sweep: str = "synthetic") -> str:
    labels = Store(str(folder)).plan(sweep)["labels"]
    wanted = (normalizer, lr, seed)
    found = [c for c, at in labels.items() if (at["normalizer"], at["lr"], at["seed"]) == wanted]
    return found[0]


def plan_file(folder: Path, sweep: str = "synthetic") -> Path:
    """The file of a sweep's only plan."""
    (file,) = (folder / "sweeps" / sweep).iterdir()
    return file


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


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("file", ["result.json", "landscape.parquet", "training.parquet"])
def test_a_damaged_file_is_named_and_its_cell_absent(tmp_path: Path, file: str) -> None:
    write_store(tmp_path, **SMALL)
    cell = cell_of(tmp_path, "batch", 0.1, 0)
    damage(tmp_path / "cells" / cell / file)
    study = load(str(tmp_path))
    assert len(study.problems) == 1
    assert file in study.problems[0]
    assert cell in study.problems[0]
    assert study.planned.set_index("cell_id")["status"][cell] == "absent"
    assert cell not in set(study.runs["cell_id"])
    assert cell not in set(study.records["training"]["cell_id"])
    with pytest.raises(StoreError, match=file):
        load(str(tmp_path), strict=True)


def of_version(path: Path, schema: int) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))


def test_a_cell_of_another_schema_version_is_refused_in_one_line(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    cell = cell_of(tmp_path, "batch", 0.1, 0)
    of_version(tmp_path / "cells" / cell / "result.json", SCHEMA - 1)
    study = load(str(tmp_path))
    line = f"{cell}/result.json: schema {SCHEMA - 1}, this version reads {SCHEMA}"
    assert [problem.endswith(line) for problem in study.problems] == [True]
    assert study.planned.set_index("cell_id")["status"][cell] == "absent"
    with pytest.raises(StoreError, match=f"schema {SCHEMA - 1}"):
        load(str(tmp_path), strict=True)


def test_a_sweep_of_another_schema_version_is_refused_in_one_line(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    write_store(tmp_path, **SMALL, sweep="newer", steps=20)
    file = plan_file(tmp_path, "newer")
    of_version(file, SCHEMA + 1)
    study = load(str(tmp_path))
    line = f"newer/{file.name}: schema {SCHEMA + 1}, this version reads {SCHEMA}"
    assert [problem.endswith(line) for problem in study.problems] == [True]
    assert set(study.planned["sweep"]) == {"synthetic"}


@pytest.mark.parametrize("key", ["summary", "cost", "settings", "provenance", "status", "records"])
def test_a_result_without_its_parts_is_named(tmp_path: Path, key: str) -> None:
    write_store(tmp_path, **SMALL)
    path = tmp_path / "cells" / cell_of(tmp_path, "none", 0.01, 0) / "result.json"
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(sealed(content)))
    assert "not what a trial writes" in load(str(tmp_path)).problems[0]


@pytest.mark.parametrize("value", [9.0, float("nan")])
def test_a_number_that_was_edited_by_hand_is_named_and_counts_nowhere(
    tmp_path: Path, value: float
) -> None:
    write_store(tmp_path, **SMALL)
    cell = cell_of(tmp_path, "none", 0.01, 0)
    path = tmp_path / "cells" / cell / "result.json"
    content = json.loads(path.read_text())
    content["summary"]["test_accuracy"] = value
    path.write_text(json.dumps(content))
    study = load(str(tmp_path))
    assert f"{cell}/result.json: " in study.problems[0]
    assert cell not in set(study.runs["cell_id"])


def test_results_without_a_digest_of_their_own_are_counted(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    path = tmp_path / "cells" / cell_of(tmp_path, "none", 0.01, 0) / "result.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    path.write_text(json.dumps(content))
    (line,) = load(str(tmp_path)).problems
    assert line.startswith("results without a digest of their own: 1 cells")


def test_a_deleted_record_file_is_named(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    cell = cell_of(tmp_path, "none", 0.01, 0)
    (tmp_path / "cells" / cell / "moment_ics.parquet").unlink()
    assert "moment_ics.parquet" in load(str(tmp_path)).problems[0]


def test_a_damaged_plan_is_named(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    write_store(tmp_path, **SMALL, sweep="other", steps=20)
    damage(plan_file(tmp_path, "other"))
    study = load(str(tmp_path))
    assert "sweeps/other/" in study.problems[0]
    assert len(study.planned) == 8


def made_elsewhere(
    folder: Path, normalizer: str, seed: int, lr: float = 0.01, **provenance: object
) -> None:
    """Change where a cell of SMALL comes from."""
    store = Store(str(folder))
    result = store.result(cell_of(folder, normalizer, lr, seed))
    result["provenance"] |= provenance
    names = [name.removesuffix(".parquet") for name in result["records"]]
    tables = {name: store.records(result, name) for name in names}
    store.write_result(result, {name: table for name, table in tables.items() if table})


def test_mixed_commits_and_data_are_told(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    assert load(str(tmp_path)).problems == []
    made_elsewhere(tmp_path, "none", 0, commit="beef", data_digest="0dd")
    problems = "\n".join(load(str(tmp_path)).problems)
    assert "2 commits" in problems
    assert "digits has 2 different contents" in problems


def test_mixed_code_is_told_by_part(tmp_path: Path) -> None:
    """A part's code that some cells do not use is no mixture."""
    write_store(tmp_path, **SMALL)
    made_elsewhere(tmp_path, "none", 0, sources={"training": "a", "normalizers/none": "b"})
    made_elsewhere(tmp_path, "none", 1, sources={"training": "a", "normalizers/none": "c"})
    made_elsewhere(tmp_path, "batch", 0, sources={"training": "a", "normalizers/batch": "d"})
    study = load(str(tmp_path))
    assert study.problems == [
        "cells made by different code are mixed: normalizers/none (2 versions); "
        "run python -m pipeline.sweep FILE --rerun-changed"
    ]
    assert study.provenance["sources"]["normalizers/none"] == ["b", "c"]


def test_mixed_threads_are_told_by_device(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    made_elsewhere(tmp_path, "none", 0, threads=2)
    study = load(str(tmp_path))
    assert "cells computed with 1 and 2 CPU threads are mixed (cpu)" in study.problems[0]
    assert study.provenance["threads"] == {"cpu": ["1", "2"]}
    made_elsewhere(tmp_path, "none", 0, device="EPYC")
    (problem,) = load(str(tmp_path)).problems
    assert problem.startswith("devices are mixed (cells: 1 of EPYC, 7 of cpu)")


def test_threads_of_the_host_are_no_mixture_on_gpus(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    store = Store(str(tmp_path))
    for cell in store.finished():
        result = store.result(cell)
        result["cost"]["peak_memory_bytes"] = 1
        result["provenance"]["threads"] = 1 + int(cell[0], 16) % 2
        path = tmp_path / "cells" / cell / "result.json"
        path.write_text(json.dumps(sealed(result)))
    assert {store.result(cell)["provenance"]["threads"] for cell in store.finished()} == {1, 2}
    assert load(str(tmp_path)).problems == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"device": "NVIDIA H200", "device_type": "cuda"},
            "devices are mixed (cells: 1 of NVIDIA H200 (cuda), 7 of cpu): "
            "numbers differ by rounding, times do not compare",
        ),
        (
            {"precision": "tf32"},
            "precisions are mixed (cells: 7 of float32, 1 of tf32): "
            "numbers are not computed alike, times do not compare",
        ),
        (
            {"deterministic": "none"},
            "deterministic modes are mixed (cells: 7 of cudnn, 1 of none): "
            "numbers are not computed alike, times do not compare",
        ),
    ],
)
def test_mixed_devices_and_arithmetic_are_told(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    write_store(tmp_path, **SMALL)
    for normalizer in ("none", "batch"):
        for seed in (0, 1):
            for lr in (0.1, 0.01):
                made_elsewhere(
                    tmp_path, normalizer, seed, lr, precision="float32", deterministic="cudnn"
                )
    assert load(str(tmp_path)).problems == []
    made_elsewhere(tmp_path, "none", 0, **changes)
    study = load(str(tmp_path))
    assert study.problems == [expected]
    assert study.provenance["precisions"] == sorted(
        {"float32", changes.get("precision", "float32")}
    )


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


@pytest.mark.parametrize("labels", [{}, {"lr": "fast"}, {"seed": None}])
def test_a_plan_with_wrong_labels_is_named(tmp_path: Path, labels: dict[str, object]) -> None:
    write_store(tmp_path, **SMALL)
    path = plan_file(tmp_path)
    plan = json.loads(path.read_text())
    cell = plan["cells"][0]
    plan["labels"][cell] = {**plan["labels"][cell], **labels} if labels else {}
    path.write_text(json.dumps(plan))
    study = load(str(tmp_path))
    assert "sweeps/synthetic/" in study.problems[0]
    assert study.planned.empty


def test_empty_store_and_wrong_names(tmp_path: Path) -> None:
    study = load(str(tmp_path))
    assert study.sweeps == []
    assert study.runs.empty
    write_store(tmp_path, **SMALL)
    with pytest.raises(ValueError, match=r"no sweep 'sythetic'.*synthetic"):
        load(str(tmp_path), sweeps=["sythetic"])
    with pytest.raises(ValueError, match="either"):
        load()
