"""Exports of a store, opened with the libraries that they are for."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipeline.export import marks
from pipeline.export.command import _NEEDS, main
from pipeline.export.finished import Finished, digests, read
from pipeline.export.marks import each_once
from pipeline.store.store import Store
from tests.helpers.stores.synthetic import write_store

ROOT = Path(__file__).parents[3]
SMALL = {"architectures": ("resnet20",), "lrs": (0.1,), "seeds": (0,)}


def needs(package: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"{package} is not installed")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_store(tmp_path / "results", **SMALL, normalizers=("none", "batch"))
    return tmp_path / "results"


@pytest.fixture
def cells(storage: Path) -> list[Finished]:
    store = Store(str(storage))
    return [read(store, cell_id) for cell_id in digests(store, "synthetic")]


def export(target: str, storage: Path, folder: Path) -> str:
    """Run the command in a process of its own, as these libraries keep threads and state."""
    command = [sys.executable, "-m", "normscope", "export", "synthetic", "--to", target]
    command += ["--storage", str(storage), "--folder", str(folder)]
    own = {**os.environ, "TRACKIO_DIR": str(folder / "database")}
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "exported" in line)
    return line


def test_csv_has_all_rows_and_an_unchanged_sweep_writes_nothing(
    storage: Path, cells: list[Finished], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    assert export("csv", storage, folder).startswith("2 cells exported, 0 were there")
    runs = pd.read_csv(folder / "runs.csv")
    assert list(runs["cell_id"]) == [cell.cell_id for cell in cells]
    assert runs["final/test_loss"].tolist() == [cell.final["final/test_loss"] for cell in cells]
    store = Store(str(storage))
    table = store.records(store.result(cells[1].cell_id), "training")
    assert table is not None
    training = pd.read_csv(folder / "training.csv")
    own = training[training["cell_id"] == cells[1].cell_id]
    assert own["train_loss"].tolist() == pytest.approx(
        table["train_loss"].to_pandas().tolist(), rel=1e-12, nan_ok=True
    )
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*.csv")}
    assert export("csv", storage, folder).startswith("0 cells exported, 2 were there")
    assert before == {file: file.stat().st_mtime_ns for file in folder.glob("*.csv")}


def test_a_cell_that_has_run_again_is_exported_again(storage: Path, tmp_path: Path) -> None:
    export("csv", storage, tmp_path / "out")
    store = Store(str(storage))
    result = store.result(store.plan("synthetic")["cells"][0])
    names = [name.removesuffix(".parquet") for name in result["records"]]
    tables = {name: store.records(result, name) for name in names}
    summary = {**result["summary"], "test_loss": 7.5}
    store.write_result(
        {**result, "summary": summary}, {n: t for n, t in tables.items() if t is not None}
    )
    assert export("csv", storage, tmp_path / "out").startswith("1 cells exported, 1 were there")
    assert pd.read_csv(tmp_path / "out/runs.csv")["final/test_loss"][0] == 7.5


def test_an_export_knows_results_by_their_digests_and_reads_no_other(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, written = Store(str(storage)), []
    known = digests(store, "synthetic")
    assert each_once(known, tmp_path, store, written.append) == 2
    first, second = written
    with monkeypatch.context() as patched:
        patched.setattr(marks, "read", None)
        assert each_once(known, tmp_path, store, written.append) == 0
    (tmp_path / "exported" / first.cell_id).write_text("f" * 64)
    assert each_once(known, tmp_path, store, written.append) == 1
    assert written[2:] == [first]
    assert second.run_id == f"{second.cell_id}-{known[second.cell_id][:8]}"


def test_a_new_cell_is_added(storage: Path, tmp_path: Path) -> None:
    export("csv", storage, tmp_path / "out")
    write_store(storage, **SMALL, normalizers=("none", "batch", "layer"))
    assert export("csv", storage, tmp_path / "out").startswith("1 cells exported, 2 were there")
    assert len(pd.read_csv(tmp_path / "out/runs.csv")) == 3


@needs("tensorboard")
def test_tensorboard_reads_the_curves(storage: Path, cells: list[Finished], tmp_path: Path) -> None:
    code = (
        "import json, sys\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        "events = EventAccumulator(sys.argv[1]); events.Reload()\n"
        "found = [[e.step, e.value] for e in events.Scalars('training/train_loss')]\n"
        "print(json.dumps(found))"
    )
    folder = tmp_path / "out"
    assert export("tensorboard", storage, folder).startswith("2 cells")
    assert export("tensorboard", storage, folder).startswith("0 cells")
    for cell in cells:
        command = [sys.executable, "-c", code, str(folder / cell.cell_id)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert [step for step, _ in json.loads(done.stdout)] == [step for step, _ in loss(cell)]
        values = [value for _, value in json.loads(done.stdout)]
        assert values == pytest.approx([value for _, value in loss(cell)], rel=1e-6)


def loss(cell: Finished) -> Iterator[tuple[int, float]]:
    """The points of the training loss."""
    for step, values in cell.curves.items():
        if "training/train_loss" in values:
            yield step, values["training/train_loss"]


@needs("wandb")
def test_wandb_writes_a_run_per_cell(storage: Path, cells: list[Finished], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert export("wandb", storage, folder).startswith("2 cells")
    assert export("wandb", storage, folder).startswith("0 cells")
    files = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))
    assert {file.stem.removeprefix("run-") for file in files} == {cell.run_id for cell in cells}
    for cell in cells:
        (file,) = (file for file in files if cell.cell_id in file.name)
        assert b"training/train_loss" in file.read_bytes()


@needs("trackio")
def test_trackio_has_a_run_per_cell(storage: Path, cells: list[Finished], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert export("trackio", storage, folder).startswith("2 cells")
    assert export("trackio", storage, folder).startswith("0 cells")
    (database,) = (folder / "database").glob("*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select run_name, step, metrics from metrics").fetchall()
    assert {name for name, _, _ in rows} == {cell.name for cell in cells}
    for cell in cells:
        own = {step: json.loads(metrics) for name, step, metrics in rows if name == cell.name}
        assert {s: own[s]["training/train_loss"] for s, _ in loss(cell)} == dict(loss(cell))
        assert own[max(own)].items() >= cell.final.items()


@pytest.mark.parametrize("target", sorted(set(_NEEDS) - {"csv"}))
def test_a_missing_package_is_named(
    target: str, storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, _NEEDS[target], None)
    assert main(["synthetic", "--to", target, "--storage", str(storage)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"--to {target} needs the package {_NEEDS[target]}, which is not installed; install it, "
        "or use --to csv"
    )


def test_a_sweep_that_is_not_there(
    storage: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    assert main(["no", "--to", "csv", "--storage", str(storage), "--folder", str(folder)]) == 2
    assert "no sweep 'no' in " in capsys.readouterr().err
    assert not folder.exists()


def test_a_folder_that_is_a_file_is_told_without_the_systems_number(
    storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["synthetic", "--to", "csv", "--folder", str(tmp_path / "taken")])
    assert ended.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith(f"taken must be a folder; {tmp_path / 'taken'} is a file")
    assert "Errno" not in error


def test_the_command_imports_no_library_of_a_target() -> None:
    code = (
        "import sys, pipeline.export.command\n"
        "print(sorted(sys.modules.keys() & {'pandas', 'torch', 'wandb', 'trackio'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
