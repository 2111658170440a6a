"""What orchestration costs, beside plain Ray Tune: python -m benchmarks.orchestration

The same cells, trained and saved by the same code, are run by normscope (with MLflow, as it
comes), by plain Ray Tune with its defaults, and by that with its MLflowLoggerCallback. A cell's
steps sleep: they take time and no processor, so that the table shows what the runners take. Then
each runs cells that train for no time at all.

*Start-up*: from the command to the first step of the first cell, several times in turn. *Wall over
ideal*: the time from there to the end of the command, over the sum of the cells' training seconds
shared by the slots.
*Memory*: the driver's resident memory (with the process that mirrors to MLflow), from the first
step on; the growth per 1,000 cells is the slope over the second half of the run.

Takes about 20 minutes on two cores; ``--small`` a few.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks._processes import children
from benchmarks._sleeping import Bedroom, bedroom, slope
from benchmarks._timing import machine, table
from tests.helpers.machines.pipeline_copy import ROOT

_MIB = 2**20
_SMALL = {
    "cells": 10,
    "peer_cells": 6,
    "trivial": 100,
    "tracked": 50,
    "peer_trivial": 6,
    "starts": 3,
}


@dataclass
class Memory:
    """The resident memory of a process and its mirror, and how far its cells are."""

    pid: int
    at: Bedroom
    sizes: list[float] = field(default_factory=list)
    """In MiB, from the first step on."""
    begun: list[int] = field(default_factory=list)
    """Cells that had begun to train."""

    def watch(self) -> None:
        """Look five times a second until the process is gone."""
        while size := sum(_resident(pid) for pid in (self.pid, *_mirrors(self.pid))):
            if count := self.at.begun():
                self.sizes.append(size / _MIB)
                self.begun.append(count)
            time.sleep(0.2)

    def growth(self) -> float:
        """MiB between the first step and the largest size after it."""
        return max(self.sizes) - self.sizes[0]


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _mirrors(pid: int) -> list[int]:
    """A process's children that mirror to MLflow; Ray's own are left out."""
    try:
        named = {each: Path(f"/proc/{each}/cmdline").read_text() for each in children(pid)}
    except OSError:  # one of them has ended
        return []
    return [child for child, words in named.items() if "pipeline.tracking.worker" in words]


@dataclass(frozen=True)
class Measured:
    """One run of all cells."""

    cells: int
    start_up: float
    wall: float
    ideal: float
    memory: Memory

    def milliseconds(self) -> float:
        """Wall time of a cell."""
        return 1000 * self.wall / self.cells


def measured(at: Bedroom, command: list[str], slots: int) -> Measured:
    """Run a command to its end.

    Raises:
        RuntimeError: if it fails, or leaves cells out.
    """
    began = time.time()
    process = _started(at, command)
    memory = Memory(process.pid, at)
    watching = threading.Thread(target=memory.watch)
    watching.start()
    _, error = process.communicate()
    ended = time.time()
    watching.join()
    seconds = at.training_seconds()
    if process.returncode != 0 or len(seconds) != at.begun():
        raise RuntimeError(f"{command}: {error[-2000:]}")
    first = at.began()
    return Measured(len(seconds), first - began, ended - first, sum(seconds) / slots, memory)


def _started(at: Bedroom, command: list[str]) -> subprocess.Popen[str]:
    own = {"FIRST_STEPS": str(at.first_steps), "PYTHONPATH": str(at.folder)}
    own |= {"OMP_NUM_THREADS": "1", "RAY_ADDRESS": "local"}
    return subprocess.Popen(
        command,
        cwd=at.folder,
        env={**os.environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


CONTENDERS = ("normscope", "plain Ray Tune", "with its MLflow callback")


def command(who: str, at: Bedroom, slots: int, *options: str) -> list[str]:
    """The command of one of `CONTENDERS`."""
    if who == "normscope":
        run = [sys.executable, "-m", "pipeline.sweep", "sweep.yaml", "--storage", str(at.storage)]
        return [*run, "--concurrency", str(slots), *options]
    uri = [f"sqlite:///{at.folder}/plain.db"] if who != "plain Ray Tune" else []
    script = ROOT / "benchmarks/_plain_tune.py"
    return [sys.executable, str(script), str(at.folder), str(slots), *uri]


def again(at: Bedroom, slots: int) -> float:
    """Seconds that the same command takes on a finished sweep."""
    began = time.time()
    process = _started(at, command("normscope", at, slots))
    _, error = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(error)
    return time.time() - began


def compared(place: Path, options: argparse.Namespace) -> list[list[str]]:
    """The rows of the table."""
    slots = options.slots

    def at(name: str, cells: int, seconds: float) -> Bedroom:
        return bedroom(place / name, cells, seconds)

    def run(where: Bedroom, who: str, *words: str) -> Measured:
        return measured(where, command(who, where, slots, *words), slots)

    own = at("ours", options.cells, options.seconds)
    long = [run(own, "normscope")]
    rerun = again(own, slots)
    many, tracked = at("many", options.trivial, 0.0), at("tracked", options.tracked, 0.0)
    short = [run(many, "normscope", "--tracking", "none")]
    with_runs = run(tracked, "normscope")
    for who in CONTENDERS[1:]:
        long.append(run(at(who, options.peer_cells, options.seconds), who))
        short.append(run(at(f"{who} trivial", options.peer_trivial, 0.0), who))
    trivial = [f"{each.milliseconds():.0f} ({each.cells} cells)" for each in short]
    trivial[0] += f"; with MLflow {with_runs.milliseconds():.0f} ({with_runs.cells} cells)"
    return [
        [f"start-up to the first step, s; median of {options.starts}", *start_ups(place, options)],
        [
            f"wall over ideal, cells of {options.seconds:g} s",
            *(f"{each.wall / each.ideal:.3f} ({each.cells} cells)" for each in long),
        ],
        ["the same command on the finished sweep, s", f"{rerun:.1f}", *["all run again"] * 2],
        ["a cell that trains for no time, ms", *trivial],
        ["driver's growth in that run, MiB", *(f"{each.memory.growth():.0f}" for each in short)],
        [
            "driver's growth per 1,000 cells, MiB",
            *(f"{1000 * slope(each.memory.begun, each.memory.sizes):.0f}" for each in short),
        ],
    ]


def start_ups(place: Path, options: argparse.Namespace) -> list[str]:
    """Of each contender in turn, so that what else the machine does is shared: median, range."""
    found: dict[str, list[float]] = {who: [] for who in CONTENDERS}
    for i in range(options.starts):
        for who, seconds in found.items():
            at = bedroom(place / f"{who} {i}", 2, 0.2)
            run = measured(at, command(who, at, options.slots), options.slots)
            seconds.append(run.start_up)
    return [
        f"{statistics.median(each):.1f} ({min(each):.1f}–{max(each):.1f})"
        for each in found.values()
    ]


def main() -> None:
    """Print the table."""
    options = _options()
    print(f"{machine(torch.device('cpu'))}; {options.slots} slots on {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory(prefix="orchestration-") as place:
        rows = compared(Path(place), options)
    print(table(["", *CONTENDERS], rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=200, help="cells that sleep (200)")
    parser.add_argument("--peer-cells", type=int, default=100, help="of them, for the peers (100)")
    parser.add_argument("--seconds", type=float, default=2.0, help="that such a cell trains for")
    parser.add_argument("--trivial", type=int, default=10_000, help="cells of no time (10,000)")
    parser.add_argument("--tracked", type=int, default=500, help="of them, with MLflow (500)")
    parser.add_argument("--peer-trivial", type=int, default=50, help="of them, for the peers (50)")
    parser.add_argument("--starts", type=int, default=7, help="times that each is started (7)")
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--small", action="store_true", help="a look at it in a few minutes")
    options = parser.parse_args()
    return argparse.Namespace(**{**vars(options), **(_SMALL if options.small else {})})


if __name__ == "__main__":
    main()
