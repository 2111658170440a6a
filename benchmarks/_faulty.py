"""A copy of the pipeline with cells that fail on purpose, and a count of all that begin to run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

_FAULTY = '''
import ctypes, os, signal, time
from torch import nn
from pipeline.normalizers import Normalizer

class Bad(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act = act
    def forward(self, x):
        self.act()
        return x

def _made(act):
    return Normalizer(features=lambda channels: Bad(act))

def raising() -> Normalizer:
    """Raises."""
    def act():
        raise RuntimeError("raised on purpose")
    return _made(act)

def hanging() -> Normalizer:
    """Never comes back, but lets other threads run."""
    return _made(lambda: time.sleep(3600))

def stuck() -> Normalizer:
    """Never comes back, and lets no other thread run."""
    return _made(lambda: ctypes.PyDLL(None).sleep(3600))

def killed() -> Normalizer:
    """Is killed, as by the kernel where memory runs out."""
    return _made(lambda: os.kill(os.getpid(), signal.SIGKILL))

def slow(*, seconds: float = 0.05) -> Normalizer:
    """Takes its time and no processor."""
    return _made(lambda: time.sleep(seconds))
'''

_COUNTING = """

import os as _os
_counted = run_trial

def run_trial(cell, *arguments, **options):
    with open(_os.environ["STARTS"], "a") as file:
        file.write(f"{cell.cell_id} {_os.getpid()}\\n")
    return _counted(cell, *arguments, **options)

if _os.environ.get("STARTS") is None:
    raise RuntimeError("STARTS names no file")
"""


@dataclass
class Scene:
    """A folder with the copied pipeline, a sweep file, a store, and the starts of its cells."""

    folder: Path
    storage: Path

    @property
    def starts(self) -> Path:
        """A line for each start of a cell: its id, and the process."""
        return self.folder / "starts.txt"

    def command(self, *options: str) -> list[str]:
        """The command that runs the sweep on this scene's store."""
        base = [sys.executable, "-m", "pipeline.sweep", "sweep.yaml", "--concurrency", "2"]
        tracking = [] if "--tracking" in options else ["--tracking", "none"]
        return [*base, "--storage", str(self.storage), *tracking, *options]

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start the command, as a session of its own."""
        return subprocess.Popen(
            self.command(*options),
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, *options: str) -> tuple[int, str]:
        """Run the command to its end: exit code and what it printed."""
        process = self.start(*options)
        printed, _ = process.communicate(timeout=600)
        return process.returncode, printed

    def begun(self) -> Counter[str]:
        """How often each cell has begun."""
        lines = self.starts.read_text().splitlines() if self.starts.exists() else []
        return Counter(line.split()[0] for line in lines)

    def workers(self) -> list[int]:
        """The processes in which cells have begun, in that order."""
        return [int(line.split()[1]) for line in self.starts.read_text().splitlines()]

    def results(self) -> dict[str, int]:
        """Finished cells, and when their results were written."""
        found = self.storage.glob("cells/*/result.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in found}

    def wait_for(self, process: subprocess.Popen[str], begun: int, done: int = 0) -> None:
        """Wait until so many cells have begun and are done."""
        deadline = time.monotonic() + 240
        while self.begun().total() < begun or len(self.results()) < done:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the sweep ended too early: {process.returncode}")
            time.sleep(0.02)

    def _environment(self) -> dict[str, str]:
        own = {"STARTS": str(self.starts), "RAY_ADDRESS": "local", "OMP_NUM_THREADS": "1"}
        return {**os.environ, **own}


def scene(folder: Path, normalizers: list[Any], seeds: int, **resources: Any) -> Scene:
    """Copy the pipeline and write a sweep of cells of twenty steps."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "pipeline/normalizers/faulty.py").write_text('"""Faults."""\n' + _FAULTY)
    trial = folder / "pipeline/trial.py"
    code, main, rest = trial.read_text().partition("\n\ndef main(")
    trial.write_text(code + _COUNTING + main + rest)
    content = {
        "name": "faults",
        "base": {
            "data": {"name": "gaussian", "samples": 64},
            "architecture": {"name": "deep_linear", "depth": 2},
            "training": {"steps": 20, "batch_size": None, "lr": 1e-4, "evaluate_every": 20},
        },
        "grid": {"normalizer": normalizers},
        "seeds": seeds,
        "resources": {"cpus": 1, **resources},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    return Scene(folder, folder / "results")


def end(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> int:
    """Send a signal to a process and wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    process.communicate(timeout=120)
    return process.returncode
