"""A sweep that ends early, on a real Ray: running cells save checkpoints, and it goes on later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.spec.read import SCHEMA, read_sweep
from pipeline.store.store import Store, StoreError
from pipeline.sweep import stop as stopping
from pipeline.sweep.budget import Limits
from pipeline.sweep.command import _budget, main
from pipeline.sweep.forecast.durations import Estimate
from pipeline.training import live_note
from tests.helpers.machines.cluster_sweeps import results, wait, write_sweep

ROOT = Path(__file__).parents[3]
CELLS = 3


def command(tmp_path: Path, *options: str) -> list[str]:
    storage = str(tmp_path / "results")
    words = [str(tmp_path / "there.yaml"), "--storage", storage, *options]
    return [sys.executable, "-m", "pipeline.sweep", *words]


def start(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    """Start a sweep whose cells take a minute; it runs two of them at once."""
    write_sweep(tmp_path, cells=CELLS, steps=100_000)
    options = ("--tracking", "none", "--concurrency", "2", *options)
    return subprocess.Popen(
        command(tmp_path, *options),
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        stderr=subprocess.PIPE,
        text=True,
    )


def checkpoints(tmp_path: Path) -> int:
    return len(list(tmp_path.glob("results/cells/*/checkpoint.pt")))


def started(tmp_path: Path) -> bool:
    """Whether two cells are running."""
    store = Store(str(tmp_path / "results"))
    lease = store.lease("there")
    if lease is None or "there" not in store.plans():
        return False
    cells = store.plan("there")["cells"]
    return sum(bool(live_note.read(lease["id"], cell)) for cell in cells) == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "--stop"])
def test_a_sweep_that_is_asked_to_stop_saves_checkpoints(tmp_path: Path, how: str) -> None:
    with start(tmp_path) as sweep:
        wait(lambda: started(tmp_path), "it did not start")
        assert checkpoints(tmp_path) == 0
        if how == "SIGTERM":
            sweep.send_signal(signal.SIGTERM)
        else:
            subprocess.run(command(tmp_path, "--stop"), cwd=ROOT, check=True)
        text = sweep.communicate(timeout=120)[1]
    assert sweep.returncode == 130, text
    assert f"{how}: running cells save checkpoints and end" in text
    assert "Traceback" not in text
    assert text.endswith("finished cells are kept; run the same command again to go on\n")
    assert checkpoints(tmp_path) == 2
    assert results(tmp_path / "results") == {}
    assert Store(str(tmp_path / "results")).lease("there") is None


@pytest.mark.slow
def test_a_used_up_budget_ends_cells_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with start(tmp_path, "--max-hours", "0.006") as sweep:
        text = sweep.communicate(timeout=120)[1]
    assert sweep.returncode == 3, text
    assert "--max-hours 0.006 used up; 3 cells are left to the same command" in text
    assert checkpoints(tmp_path) <= 2  # those that had started
    file = write_sweep(tmp_path, cells=CELLS, steps=20)
    again = [str(file), "--storage", str(tmp_path / "results"), "--tracking", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.sweep", *again, "--max-hours", "1"],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path / "results")) == CELLS


def test_gpu_hours_are_refused_where_no_cell_uses_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 4.0})
    sweep = read_sweep(write_sweep(tmp_path, cells=CELLS, steps=5))
    no_lease: Any = None
    with pytest.raises(ValueError, match="--max-gpu-hours: no cell uses a GPU here; give --max-h"):
        _budget(Limits(gpu_hours=1), sweep.cells, sweep, Estimate({}, None, False), no_lease)


def test_who_is_asked_to_stop_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(write_sweep(tmp_path, cells=2, steps=5))
    store = Store(str(tmp_path))
    lease = {"schema": SCHEMA, "id": "abc", "host": "node7", "pid": 12, "born": "1", "time": "now"}
    store.write_lease("there/1-of-2", lease)
    assert main([file, "--storage", str(tmp_path), "--stop"]) == 0
    assert capsys.readouterr().out == "there/1-of-2: process 12 on node7 is asked to stop\n"
    assert store.is_stop_requested("there/1-of-2", "abc")
    assert not store.is_stop_requested("there/1-of-2", "a later driver")
    assert main([file, "--storage", str(tmp_path), "--stop", "--shard", "2/2"]) == 0
    assert capsys.readouterr().out == "there: nobody is running it now\n"


def test_a_store_that_cannot_be_read_is_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stopping, "_STORE_EVERY", 0.0)
    store = Store(str(tmp_path))
    ask = stopping.request_in_store(store, "there", "abc")
    assert ask() == ""
    store.write_stop("there", "abc")
    assert ask() == "--stop"

    def broken(*words: object) -> bool:
        raise StoreError("no such host")

    monkeypatch.setattr(store, "is_stop_requested", broken)
    assert ask() == ""
    assert capsys.readouterr().err == "no such host\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "3/2"], "'3/2' is no shard; write I/N"),
        (["--max-hours", "0"], "more than 0"),
        (["--max-gpu-hours", "inf"], "more than 0"),
    ],
)
def test_a_wrong_option_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["any.yaml", *words])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
