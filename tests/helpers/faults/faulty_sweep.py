"""A copy of the pipeline with cells that fail on purpose, and a count of all that begin to run."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.machines.pipeline_copy import copied

SLOW = {"name": "slow", "seconds": 0.05}
"""A cell of about a second."""

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

def hungry(*, gibibytes: int = 10) -> Normalizer:
    """Takes more and more memory, up to a bound that a machine survives."""
    hoard = []
    def act():
        while len(hoard) < 16 * gibibytes:
            hoard.append(b"x" * 2**26)
            time.sleep(0.05)
    return _made(act)

def slow(*, seconds: float = 0.05) -> Normalizer:
    """Takes its time and no processor."""
    return _made(lambda: time.sleep(seconds))
'''

_NODES = """
import sys
from ray.cluster_utils import Cluster
size = {"object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **size})
workers = [cluster.add_node(num_cpus=1, **size) for _ in range(2)]
print(cluster.address, flush=True)
for _ in sys.stdin:
    cluster.remove_node(workers.pop(0), allow_graceful=False)
    print("killed", flush=True)
    workers.append(cluster.add_node(num_cpus=1, **size))
cluster.shutdown()
"""

_COUNTING = """

import os as _os
_counted = run_trial

def run_trial(cell, *arguments, **options):
    with open({starts!r}, "a") as file:
        file.write(f"{{cell.cell_id}} {{_os.getpid()}}\\n")
    return _counted(cell, *arguments, **options)
"""


@dataclass
class Scene:
    """A folder with the copied pipeline, a sweep file, a store, and the starts of its cells."""

    folder: Path
    storage: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its commands find there beside what is there anyway."""

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
            if process.poll() is not None:
                raise RuntimeError(f"ended too early, with {process.communicate()}")
            if time.monotonic() > deadline:
                raise RuntimeError("nothing begins")
            time.sleep(0.02)

    def _environment(self) -> dict[str, str]:
        own = {"RAY_ADDRESS": "local", "OMP_NUM_THREADS": "1"}
        return {**os.environ, **own, **self.environment}


@dataclass(frozen=True)
class Row:
    """What one kind of fault cost."""

    fault: str
    tried: int
    cells: int
    lost: int
    repeated: int
    outcome: str
    """What the user sees of it."""


def tally(
    fault: str, tried: int, before: dict[str, int], at: Scene, cells: int, outcome: str
) -> Row:
    """Compare a finished scene with the results that were there when the fault came."""
    after = at.results()
    gone = sum(after.get(cell) != written for cell, written in before.items())
    begun = at.begun()
    lost = gone + cells - len(after)
    return Row(fault, tried, cells, lost, begun.total() - len(begun), outcome)


def scene(folder: Path, normalizers: list[Any], seeds: int, **resources: Any) -> Scene:
    """Copy the pipeline and write a sweep of cells of twenty steps."""
    folder.mkdir(parents=True, exist_ok=True)
    copied(folder, "faulty", '"""Faults."""\n' + _FAULTY)
    trial = folder / "pipeline/trial/run.py"
    code, main, rest = trial.read_text().partition("\n\ndef main(")
    counting = _COUNTING.format(starts=str(folder / "starts.txt"))
    trial.write_text(code + counting + main + rest)
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


@contextlib.contextmanager
def nodes(folder: Path) -> Iterator[tuple[Callable[[], None], dict[str, str]]]:
    """A Ray cluster of a head and two nodes of a slot each; ends with the context.

    Gives a function that kills a node (the two in turn) and puts another one in its place, and the
    environment in which a sweep joins the cluster.
    """
    token = folder / "token"
    folder.mkdir(parents=True, exist_ok=True)
    token.write_text(secrets.token_hex(32))
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    with subprocess.Popen(
        [sys.executable, "-c", _NODES],
        env={**os.environ, **own},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def kill() -> None:
            stdin.write("kill\n")
            stdin.flush()
            assert stdout.readline() == "killed\n"

        try:
            yield kill, {**own, "RAY_ADDRESS": stdout.readline().strip()}
        finally:
            stdin.close()


def end(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> int:
    """Send a signal to a process and wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    process.communicate(timeout=120)
    return process.returncode
