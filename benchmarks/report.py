"""What a report costs, by the number of its cells: python -m benchmarks.report

Makes synthetic stores (`benchmarks._copies`) and runs ``python -m analysis.report`` on each: *cold*
without a cache; *cached* once more, nothing having changed; *changed* after one of the cells has
lost its result. Memory is the peak of the proportional set size of the command's processes
together: a page that two share counts once.

Takes about 10 minutes on two cores, most of them for making 10,000 cells; ``--cells 100 1000`` two.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from benchmarks._copies import GRIDS, write
from benchmarks._processes import children
from benchmarks._timing import machine, table
from tests.helpers.machines.pipeline_copy import ROOT


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", choices=sorted(GRIDS), default=list(GRIDS))
    options = parser.parse_args()
    print(f"{machine(torch.device('cpu'))}; {os.cpu_count()} cores\n", flush=True)
    rows = []
    for cells in options.cells:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_row(cells, Path(folder)))
            print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    header = ["cells", "values a cell", "cold (s)", "ms a cell", "MiB"]
    header += ["cached (s)", "MiB", "changed (s)", "MiB"]
    print(table(header, rows))


def _row(cells: int, folder: Path) -> list[str]:
    values = write(folder / "store", cells)
    cold, cold_peak = _report(folder)
    numbers = [f"{values:,}", f"{cold:.1f}", f"{1000 * cold / cells:.1f}", f"{cold_peak:.0f}"]
    cached = _report(folder)
    next((folder / "store/cells").glob("*/result.json")).unlink()
    changed = _report(folder)
    again = [text for run in (cached, changed) for text in (f"{run[0]:.1f}", f"{run[1]:.0f}")]
    return [f"{cells:,}", *numbers, *again]


def _report(folder: Path) -> tuple[float, float]:
    """Seconds and peak MiB of one report."""
    command = [sys.executable, "-m", "analysis.report", "--storage", str(folder / "store")]
    command += ["--tracking", "none", "--out", str(folder / "report")]
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    sizes: list[float] = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, sizes))
    watcher.start()
    code = process.wait()
    seconds = time.monotonic() - start
    watcher.join()
    if code:
        raise RuntimeError(f"the report failed with exit code {code}")
    return seconds, max(sizes)


def _watch(process: subprocess.Popen[bytes], sizes: list[float]) -> None:
    """Add the MiB of a process and its children, ten times a second, until it ends."""
    while process.poll() is None:
        pids = [process.pid, *_below(process.pid)]
        sizes.append(sum(map(_size, pids)) / 2**20)
        time.sleep(0.1)


def _below(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *_below(child))]


def _size(pid: int) -> int:
    """Bytes of memory, shared pages by their share; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
