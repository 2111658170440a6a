"""What faults cost: python -m benchmarks.faults [--times 20] > docs/faults.md

Every row is tried for real: processes are killed, a disk is full, a server is dead. *Cells lost*
counts finished cells whose result was gone or changed afterwards, and cells without a result after
the same command had run again to its end. *Cells repeated* counts trials that began beyond the
first of each cell.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks._faulty import Scene, end, scene

SLOW = {"name": "slow", "seconds": 0.05}
"""A cell of about a second."""


@dataclass(frozen=True)
class Row:
    """What one kind of fault cost."""

    fault: str
    tried: int
    cells: int
    lost: int
    repeated: int
    said: str
    """What the user sees of it."""


def tally(fault: str, tried: int, before: dict[str, int], at: Scene, cells: int, said: str) -> Row:
    """Compare a finished scene with the results that were there when the fault came."""
    after = at.results()
    gone = sum(after.get(cell) != written for cell, written in before.items())
    begun = at.begun()
    lost = gone + cells - len(after)
    return Row(fault, tried, cells, lost, begun.total() - len(begun), said)


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
        os.kill(at.workers()[-1], signal.SIGKILL)
    process.communicate(timeout=600)
    code, _ = at.finish()
    return tally("worker killed (SIGKILL)", times, {}, at, seeds, f"exit code {code}")


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
    process.communicate(timeout=600)
    refusal = printed.strip().splitlines()[-1].split(" by process")[0]
    said = f"the second: exit code {code}, “{refusal} …”"
    return tally("two drivers on one sweep", 1, {}, at, 6, said)


def bad_cells(folder: Path, kinds: list[str], seeds: int) -> list[Row]:
    """Cells that fail on purpose, beside a good one of each seed; then the same command again."""
    at = scene(folder, [*kinds, SLOW], seeds, time_limit=4.0)
    code, _ = at.finish()
    begun, results = at.begun(), at.results()
    again, _ = at.finish()
    more = at.begun().total() - begun.total()
    _, failures = at.finish("--failures")
    said = "; ".join(line for line in failures.splitlines() if not line.startswith("  "))
    bad, cells = len(kinds) * seeds, (len(kinds) + 1) * seeds
    first = begun.total() - len(begun)
    return [
        Row(f"cells that are {', '.join(kinds)}", bad, cells, seeds - len(results), first, said),
        Row(
            f"the same command again (exit codes {code}, {again})",
            1,
            cells,
            seeds - len(at.results()),
            more,
            "",
        ),
    ]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in memory; needs root."""
    place = folder / "disk"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def disk_full(folder: Path) -> Row:
    """A store whose disk is full half way; then there is room, and the same command."""
    with small_disk(folder, "60k") as place:
        at = Scene(scene(folder / "scene", [SLOW], 8).folder, place / "results")
        code, printed = at.finish()
        before = at.results()
        assert code == 1
        assert "Traceback" not in printed
        subprocess.run(["mount", "-o", "remount,size=50m", place], check=True)
        at.finish()
        said = f"exit code {code}, {len(before)} of 8 cells done while it was full"
        return tally("store's disk full", 1, before, at, 8, said)


def read_only(folder: Path) -> Row:
    """A store on a disk that has become read-only; then it is writable, and the same command."""
    with small_disk(folder, "50m") as place:
        at = Scene(scene(folder / "scene", [SLOW], 4).folder, place / "results")
        at.finish("--limit", "2")
        before = at.results()
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        code, printed = at.finish()
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        at.finish()
        said = f"exit code {code}, “{printed.strip().splitlines()[-1].split('/')[-1]}”"
        return tally("store's disk read-only", 1, before, at, 4, said)


def dead_tracking(folder: Path) -> Row:
    """An MLflow server that is dead for the whole run; then one that answers, and --sync."""
    at = scene(folder, [SLOW], 4)
    at.finish("--tracking", "http://127.0.0.1:9")
    before = at.results()
    _, printed = at.finish("--tracking", f"sqlite:///{folder}/mlflow.db", "--sync")
    return tally(
        "MLflow dead for the whole run", 1, before, at, 4, printed.split("(")[-1].strip(")\n")
    )


def truncated(folder: Path) -> Row:
    """A record file that has lost its end: named when read; without its folder, run again."""
    from pipeline.store import Store, StoreError

    at = scene(folder, [SLOW], 2)
    at.finish()
    cell = min(at.results())
    file = at.storage / "cells" / cell / "training.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    store = Store(str(at.storage))
    try:
        store.records(store.result(cell), "training")
        raise AssertionError("a truncated file was read")
    except StoreError as error:
        said = "“" + str(error).split("/")[-1].split(";")[0] + "”"
    for each in file.parent.iterdir():
        each.unlink()
    before = {other: written for other, written in at.results().items() if other != cell}
    at.finish()
    return tally("record file truncated", 1, before, at, 2, said)


def markdown(rows: list[Row]) -> str:
    """The page."""
    lines = [
        "# Faults",
        "",
        *(__doc__ or "").split("\n", 2)[2].strip().splitlines(),
        "",
        "| fault | times tried | cells | cells lost | cells repeated | what is seen |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        counts = f"{row.tried} | {row.cells} | {row.lost} | {row.repeated}"
        lines.append(f"| {row.fault} | {counts} | {row.said} |")
    return "\n".join(lines) + "\n\nMade by `python -m benchmarks.faults`.\n"


def main() -> None:
    """Try all faults and print the page; progress goes to the standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="kills of the driver (20)")
    times = parser.parse_args().times
    faults: dict[str, Callable[[Path], Row | list[Row]]] = {
        "driver": lambda at: driver_killed(at, times),
        "worker": lambda at: worker_killed(at, max(1, times // 4)),
        "term": lambda at: stopped(at, [signal.SIGTERM]),
        "int": lambda at: stopped(at, [signal.SIGINT]),
        "double": lambda at: stopped(at, [signal.SIGINT, signal.SIGINT]),
        "two": two_drivers,
        "bad": lambda at: bad_cells(at, ["raising", "hanging", "stuck", "killed"], 2),
        "full": disk_full,
        "ro": read_only,
        "dead": dead_tracking,
        "truncated": truncated,
    }
    rows: list[Row] = []
    for name, fault in faults.items():
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            found = fault(Path(folder) / name)
        rows += found if isinstance(found, list) else [found]
        print(rows[-1], file=sys.stderr)
    print(markdown(rows), end="")


if __name__ == "__main__":
    main()
