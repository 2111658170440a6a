"""What faults cost: python -m benchmarks.faults [--times 20] [--only NAME …] > docs/faults.md

Every row is tried for real: processes are killed, a disk is full, a server is dead. *Cells lost*
counts finished cells whose result was gone or changed afterwards, and good cells without a result
after the same command had run again to its end. *Cells repeated* counts trials that began beyond
the first of each cell.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.helpers.faults import broken, kills
from tests.helpers.faults.faulty_sweep import Row

_INT, _TERM = signal.SIGINT, signal.SIGTERM
FAULTS: dict[str, Callable[[Path, int], Row | list[Row]]] = {
    "driver": kills.driver_killed,
    "worker": lambda at, times: kills.worker_killed(at, max(1, times // 4)),
    "node": lambda at, times: kills.node_killed(at, max(1, times // 5)),
    "term": lambda at, times: kills.stopped(at, [_TERM]),
    "int": lambda at, times: kills.stopped(at, [_INT]),
    "twice": lambda at, times: kills.stopped(at, [_INT, _INT]),
    "both": lambda at, times: kills.stopped(at, [_TERM, _INT]),
    "two": lambda at, times: kills.two_drivers(at),
    "bad": lambda at, times: broken.bad(at, ["raising", "hanging", "killed"], 2),
    "stuck": lambda at, times: broken.bad(at, ["stuck"], 1),
    "hungry": lambda at, times: broken.hungry(at, 2),
    "full": lambda at, times: broken.disk_full(at),
    "ro": lambda at, times: broken.read_only(at),
    "mlflow": lambda at, times: broken.dead_tracking(at),
    "truncated": lambda at, times: broken.truncated(at),
}
"""By name: tries a fault in a folder, given how often the driver is to be killed."""


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
        lines.append(f"| {row.fault} | {counts} | {row.outcome} |")
    return "\n".join(lines) + "\n\nMade by `python -m benchmarks.faults`.\n"


def main() -> None:
    """Try all faults and print the page; progress goes to the standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="kills of the driver (20)")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), help="these")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            found = FAULTS[name](Path(folder) / name, options.times)
        rows += found if isinstance(found, list) else [found]
        print(rows[-1], file=sys.stderr)
    print(markdown(rows), end="")


if __name__ == "__main__":
    main()
