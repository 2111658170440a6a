"""A sweep sent to a real Ray head as a job: watched, left alone, found again, stopped, gone on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.machines.cluster_sweeps import results, wait, write_sweep

CELLS = 60
"""More than can end before it is stopped."""


@dataclass(frozen=True)
class Laptop:
    """Where the command is given, and what it is."""

    checkout: Path
    environment: dict[str, str]
    command: list[str]
    said: Path

    def start(self) -> subprocess.Popen[bytes]:
        with self.said.open("wb") as file:
            return subprocess.Popen(
                self.command,
                cwd=self.checkout,
                env=self.environment,
                stderr=file,
                start_new_session=True,
            )

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *more],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )


@pytest.fixture
def laptop(checkout: Path, head: tuple[str, dict[str, str]], tmp_path: Path) -> Laptop:
    """A sweep of half a minute, to be run on the head."""
    address, environment = head
    file = write_sweep(tmp_path, cells=CELLS, steps=2000)
    command = [sys.executable, "-m", "pipeline.sweep", str(file), "--cluster", address]
    command += ["--storage", str(tmp_path / "results"), "--tracking", "none"]
    return Laptop(checkout, environment, command, tmp_path / "said")


@pytest.mark.cluster
def test_a_sweep_survives_its_watcher_is_found_again_stopped_and_gone_on_with(
    laptop: Laptop, tmp_path: Path
) -> None:
    storage, said = tmp_path / "results", laptop.said
    watcher = laptop.start()
    wait(lambda: results(storage), "no cell finished")
    os.killpg(watcher.pid, signal.SIGKILL)  # the laptop is gone
    watcher.wait()
    before = len(results(storage))
    wait(lambda: len(results(storage)) > before, "the sweep ended with its watcher")

    other = laptop.run("--set", "seeds=2")
    assert other.returncode == 2
    assert "other settings; stop it first" in other.stderr

    watcher = laptop.start()
    wait(lambda: "is running" in said.read_text(), "it was not found again")
    wait(lambda: "cells to run" in said.read_text(), "its words were not shown")
    watcher.send_signal(signal.SIGINT)
    wait(lambda: "goes on without" in said.read_text(), "Ctrl-C was not answered")
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(timeout=240) == 130
    assert "finished cells are kept" in said.read_text()
    kept = results(storage)
    assert 2 <= len(kept) < CELLS
    assert not list(storage.glob("**/*.partial"))

    more = laptop.run("--limit", "3")
    assert more.returncode == 0, more.stderr
    assert f"3 cells to run, {len(kept)} done" in more.stderr
    after = results(storage)
    assert len(after) == len(kept) + 3
    assert {cell: after[cell] for cell in kept} == kept
    commit = subprocess.check_output(
        ["git", "rev-parse", "HEAD"], cwd=laptop.checkout, text=True
    ).strip()
    for cell in after:
        code = json.loads((storage / f"cells/{cell}/result.json").read_text())["provenance"]
        assert (code["commit"], code["dirty"]) == (commit, False)

    nothing = laptop.run("--stop")
    assert (nothing.returncode, "nothing of this sweep" in nothing.stderr) == (0, True)
