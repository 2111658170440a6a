"""Faults that end processes: of the driver, of a worker, of a node."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from tests.helpers.faults.faulty_sweep import SLOW, Row, Scene, end, nodes, scene, tally


def driver_killed(folder: Path, times: int) -> Row:
    """SIGKILL of the driver at random moments after a cell has begun; then the same command."""
    seeds = 3 * times + 6
    at, before = scene(folder, [SLOW], seeds), {}
    for _ in range(times):
        process = at.start()
        at.wait_for(process, at.begun().total() + 1)
        try:
            process.wait(timeout=random.uniform(0, 2.5))
        except subprocess.TimeoutExpired:
            end(process)
        before |= {cell: t for cell, t in at.results().items() if cell not in before}
    code, _ = at.finish()
    return tally("driver killed (SIGKILL)", times, before, at, seeds, f"exit code {code} at last")


def worker_killed(folder: Path, times: int) -> Row:
    """SIGKILL of the process of a running cell: Ray starts the cell once more."""
    seeds = 2 * times + 2
    at = scene(folder, [SLOW], seeds)
    process = at.start()
    for _ in range(times):
        at.wait_for(process, at.begun().total() + 1)
        time.sleep(random.uniform(0, 1))
        os.kill(at.workers()[-1], signal.SIGKILL)
    before, code = at.results(), finished(process)
    again, _ = at.finish()
    outcome = f"exit code {code}, and then {again}; 1 says that a cell was hit twice"
    return tally("worker killed (SIGKILL)", times, before, at, seeds, outcome)


def node_killed(folder: Path, times: int) -> Row:
    """SIGKILL of all of a node's processes while cells run on it: they start on another one."""
    seeds = 3 * times + 4
    made = scene(folder / "scene", [SLOW], seeds)
    with nodes(folder) as (kill, environment):
        at = Scene(made.folder, made.storage, environment)
        process = at.start()
        for _ in range(times):
            at.wait_for(process, at.begun().total() + 2)
            time.sleep(random.uniform(0, 1))
            kill()
        before = at.results()
        code = finished(process)
        again, _ = at.finish()
    outcome = f"exit code {code}, and then {again}; 1 says that a cell was hit twice"
    return tally("node killed (SIGKILL)", times, before, at, seeds, outcome)


def stopped(folder: Path, signals: list[int]) -> Row:
    """One signal, or two in a row, to the driver; then the same command."""
    at = scene(folder, [SLOW], 6)
    process = at.start()
    at.wait_for(process, 3, done=1)
    for number in signals[:-1]:
        process.send_signal(number)
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
    code, before = end(process, signals[-1]), at.results()
    at.finish()
    name = " and ".join(signal.Signals(number).name for number in signals)
    return tally(name, 1, before, at, 6, f"exit code {code}")


def two_drivers(folder: Path) -> Row:
    """A second driver on the same sweep, while the first one runs."""
    at = scene(folder, [SLOW], 6)
    process = at.start()
    at.wait_for(process, 1)
    code, printed = at.finish()
    finished(process)
    refusal = printed.strip().splitlines()[-1].split(" by process")[0]
    outcome = f"the second: exit code {code}, “{refusal} …”"
    return tally("two drivers on one sweep", 1, {}, at, 6, outcome)


def finished(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a command; gives its exit code."""
    process.communicate(timeout=600)
    return process.returncode
