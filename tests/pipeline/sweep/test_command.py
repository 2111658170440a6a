"""The command, run as a user runs it: a process of its own, a real Ray, a real MLflow database."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from mlflow import MlflowClient

from pipeline.spec.read import read_sweep
from pipeline.store.store import Store
from pipeline.sweep.command import main
from pipeline.trial.run import run_trial

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "RAY_ADDRESS": "local"}
"""Whatever cluster this machine belongs to, these sweeps have their own."""


def write_sweep(folder: Path, **changes: object) -> Path:
    """Write a sweep of four cells that take milliseconds."""
    content = {
        "name": "small",
        "base": {
            "data": {"name": "gaussian", "samples": 64},
            "architecture": {"name": "deep_linear", "depth": 4},
            "training": {"steps": 5, "batch_size": None, "lr": 1e-4, "evaluate_every": 5},
        },
        "grid": {"normalizer": ["none", "batch"]},
        "seeds": 2,
        "probes": {"gradient_ics": {"every": 2}, "landscape": {"at": [0], "lengths": 2}},
        **changes,
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def command(file: Path, storage: Path, *options: str) -> list[str]:
    run = [sys.executable, "-m", "pipeline.sweep", str(file), "--storage", str(storage)]
    return [*run, "--concurrency", "2", *options]


def sweep(file: Path, storage: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(file, storage, *options),
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def results(storage: Path) -> dict[str, int]:
    """Finished cells, and when their results were written."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in storage.glob("cells/*/result.json")
    }


def records(storage: Path) -> dict[str, str]:
    """The digest of every record file."""
    found = {}
    for path in storage.glob("cells/*/result.json"):
        for name, file in json.loads(path.read_text())["records"].items():
            found[f"{path.parent.name}/{name}"] = file["sha256"]
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A sweep file and the storage of its finished run."""
    folder = tmp_path_factory.mktemp("finished")
    file, storage = write_sweep(folder), folder / "results"
    done = sweep(file, storage)
    assert done.returncode == 0, done.stderr
    return file, storage


def test_every_cell_has_a_result_and_a_run(finished: tuple[Path, Path]) -> None:
    file, storage = finished
    cells = {cell.cell_id for cell in read_sweep(file).cells}
    assert set(results(storage)) == cells
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags.get("cell_id") for run in runs} == {*cells, None}
    summaries = [run for run in runs if run.data.tags["normscope.kind"] == "summary"]
    assert len(runs) == len(cells) + 1 == len(cells) + len(summaries)


def test_a_finished_sweep_is_known_without_ray_torch_or_mlflow(finished: tuple[Path, Path]) -> None:
    """Their imports alone take longer than to look at a store."""
    words = [str(each) for each in (finished[0], "--storage", finished[1])]
    code = (
        "import sys; from pipeline.sweep.command import main\n"
        f"assert main({words}) == 0\n"
        "assert not {'ray', 'torch', 'mlflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 cells done" in done.stdout


class Grown(NamedTuple):
    """A finished sweep, one cell of it made by other code, that has run again on a larger grid."""

    storage: Path
    before: dict[str, int]
    stale: str
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def grown(finished: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Grown:
    folder = tmp_path_factory.mktemp("grown")
    storage = Path(shutil.copytree(finished[1], folder / "results"))
    stale = sorted(storage.glob("cells/*/result.json"))[0]
    result = json.loads(stale.read_text())
    result["provenance"]["sources"]["normalizers/none"] = "0ld"
    stale.write_text(json.dumps(result))
    before = results(storage)
    larger = "grid.normalizer=[none, batch, layer, {name: group, groups: 7}]"
    options = ("--tracking", "none", "--rerun-changed", "--set", larger)
    return Grown(storage, before, stale.parent.name, sweep(finished[0], storage, *options))


@pytest.mark.slow
def test_a_new_grid_value_runs_only_its_cells(grown: Grown) -> None:
    after = results(grown.storage)
    assert len(after) == 6
    same = grown.before.keys() - {grown.stale}
    assert {cell: after[cell] for cell in same} == {cell: grown.before[cell] for cell in same}


@pytest.mark.slow
def test_a_cell_made_by_other_code_runs_again_on_demand(grown: Grown) -> None:
    assert "5 cells to run, 3 done" in grown.done.stderr
    assert results(grown.storage)[grown.stale] != grown.before[grown.stale]
    assert "0ld" not in (grown.storage / "cells" / grown.stale / "result.json").read_text()


@pytest.mark.slow
def test_a_cell_that_raises_is_reported_with_the_command_that_shows_it(grown: Grown) -> None:
    """Ten features are not seven groups."""
    assert grown.done.returncode == 1
    assert "6 of 8 cells done" in grown.done.stdout
    assert "2 failed: ValueError" in grown.done.stderr
    assert "python -m pipeline.trial" in grown.done.stderr
    assert len(Store(str(grown.storage)).failed()) == 2


def test_a_worker_computes_the_same_bits_as_a_process_of_its_own(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    """Workers are reused from cell to cell; the other process runs the cells in reverse order."""
    file, storage = finished
    cells = [cell.cell_id for cell in read_sweep(file).cells]
    code = (
        "import sys; from pipeline.trial.command import main\n"
        f"for cell in {cells[::-1]}:\n"
        f"    assert main([{str(file)!r}, '--cell', cell, '--storage', {str(tmp_path)!r}]) == 0"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    alone = records(tmp_path)
    assert len(alone) == 4 * 3
    assert {name: digest for name, digest in records(storage).items() if name in alone} == alone


def wait_for_results(storage: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while len(results(storage)) < count:
        assert process.poll() is None, "the sweep ended too early to be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def slow_sweep(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Context manager that runs a sweep of twelve cells of about a second; kills it at its end.

    It gives the storage and the process.
    """
    training = {"steps": 2000, "batch_size": None, "lr": 1e-5, "evaluate_every": 2000}
    base = {
        "data": {"name": "gaussian", "samples": 64},
        "architecture": {"name": "deep_linear", "depth": 4},
        "training": training,
    }
    file, storage = write_sweep(tmp_path, base=base, seeds=6), tmp_path / "results"
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            command(file, storage, "--tracking", "none"),
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield storage, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    with slow_sweep(tmp_path) as (storage, process):
        wait_for_results(storage, 1, process)
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 2
        while (said := (tmp_path / "said").read_text()).count(
            "stopping …; Ctrl-C again to st"
        ) == 0:
            assert time.monotonic() < deadline, said
            time.sleep(0.01)
        assert process.wait(timeout=60) == 130
    assert 1 <= len(results(storage)) < 12
    said = (tmp_path / "said").read_text()
    assert "Traceback" not in said
    assert said.endswith(
        "interrupted: finished cells are kept; run the same command again to go on\n"
    )


_DRIVER = """
import os, sys
from contextlib import contextmanager
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
from pipeline.sweep.on_ray import ray_cluster
from pipeline.sweep.command import main
joined = ray_cluster.joined
@contextmanager
def shown():
    with joined() as cpus:
        print(cpus, ray_cluster.ray.cluster_resources().get("GPU", 0))
        yield cpus
ray_cluster.joined = shown
code = main(sys.argv[1:])
print(code, sorted({"ray.tune", "mlflow"} & set(sys.modules)))
"""


class Driven(NamedTuple):
    """A sweep of two cells by a driver with one processor, a bare home and a dead MLflow."""

    file: Path
    storage: Path
    home: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Driven:
    folder = tmp_path_factory.mktemp("driven")
    file, storage, home = write_sweep(folder, seeds=1), folder / "results", folder / "home"
    home.mkdir()
    environment = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("RAY_AUTH_")}
    words = [str(file), "--storage", str(storage), "--tracking", "http://127.0.0.1:9"]
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, *words],
        cwd=ROOT,
        env={**environment, "HOME": str(home), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Driven(file, storage, home, done)


@pytest.mark.slow
def test_a_dead_tracking_server_stops_nothing(driven: Driven) -> None:
    assert "2 of 2 cells done" in driven.done.stdout
    assert driven.done.stderr.count("tracking is off for now") == 1
    assert "Traceback" not in driven.done.stderr
    later = sweep(driven.file, driven.storage, "--sync")
    assert later.returncode == 0, later.stderr
    assert "MLflow is in sync with the store: 2 runs created, 0 superseded" in later.stdout
    client = MlflowClient(f"sqlite:///{driven.storage}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 3


@pytest.mark.slow
def test_a_cluster_of_this_machine_has_what_the_process_may_use(driven: Driven) -> None:
    assert driven.done.stdout.splitlines()[0].split() == ["1", "0"]


@pytest.mark.slow
def test_a_driver_imports_no_mlflow(driven: Driven) -> None:
    """Tune would, for statistics that are off; what keeps it from that leaves nothing behind."""
    assert driven.done.stdout.splitlines()[-1] == "0 ['ray.tune']", driven.done.stderr


@pytest.mark.slow
def test_a_sweep_writes_nothing_into_its_home(driven: Driven) -> None:
    """Ray's token there failed in a read-only home, and kept later clusters from being joined."""
    assert driven.done.returncode == 0
    assert not (driven.home / ".ray").exists()


def test_dry_run_counts_ten_thousand_cells_without_ray(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = [round(1e-6 * i, 6) for i in range(1, 1001)]
    file = write_sweep(tmp_path, grid={"normalizer": ["none"], "training.lr": rates}, seeds=10)
    assert main([str(file), "--storage", str(tmp_path / "results"), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "10000 cells" in printed
    assert "10000  missing" in printed
    assert not (tmp_path / "results").exists()


def test_dry_run_estimates_from_finished_cells(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, storage = finished
    options = ["--storage", str(storage), "--dry-run", "--set", "seeds=3"]
    assert main([str(file), *options]) == 0
    printed = capsys.readouterr().out
    assert "4  done" in printed
    assert "2  missing" in printed
    assert "time: about" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such.yaml"], "no-such.yaml"),
        (["FILE", "--set", "training.stepz=5"], "steps"),
        (["FILE", "--set", "data=digitz"], "digits"),
        (["FILE", "--storage", "s3://bucket/results"], "--tracking"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(write_sweep(tmp_path))
    assert main([file if word == "FILE" else word for word in arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_trial_run_of_the_same_name_is_a_plan_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow keeps the runs of both, and the finished sweep stays the one to show."""
    file, store = write_sweep(tmp_path, seeds=1), Store(str(tmp_path / "results"))
    changes = ["training.steps=3"]
    whole, trial = read_sweep(file).cells, read_sweep(file, changes).cells[:1]
    for cells, options in ((whole, []), (trial, ["--set", *changes])):
        for cell in cells:
            run_trial(cell, store, "cpu")
        assert main([str(file), "--storage", store.uri, "--sync", *options]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "2 runs created, 0 superseded; 2 runs checked" in said[0]
    assert "1 runs created, 0 superseded; 3 runs checked" in said[1]
    first, second = store.plans_of("small", store.finished())
    assert (first.cells, first.finished) == ([cell.cell_id for cell in whole], 2)
    assert (second.finished, len(second.cells), list(second.changes)) == (1, 2, changes)
