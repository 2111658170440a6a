"""The arguments of the sweep command, and their help."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from pipeline.cli import options as shared

if TYPE_CHECKING:
    from pipeline.sweep.shard import Shard

_EPILOG = """\
examples:
  python -m pipeline.sweep sweeps/quickstart.yaml --dry-run     show what would run
  python -m pipeline.sweep sweeps/quickstart.yaml               run the cells without a result
  python -m pipeline.sweep sweeps/quickstart.yaml --set seeds=5 run two more seeds
  python -m pipeline.sweep sweeps/quickstart.yaml --limit 4     try the first four cells
  python -m pipeline.sweep sweeps/quickstart.yaml --failures    list failed cells by error

Finished cells run again only with --rerun-changed. Lost cells run again, in three runs at most.
Failed cells, and cells that were lost in three runs, run again with --retry-failed.
Ctrl-C stops the sweep and keeps finished cells; run the same command again to resume.
A second Ctrl-C stops at once.
SIGTERM and --stop let running cells save checkpoints first.
exit codes: 0 all cells done, 1 some failed, 2 bad input, 3 budget used up, 130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    """Of the command's arguments."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline.sweep",
        description="Run the cells of a sweep file that have no result yet, on Ray.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[
            shared.set_parent(),
            shared.storage_parent(),
            shared.tracking_parent(
                "MLflow's URI, or none (MLFLOW_TRACKING_URI, else a SQLite file in the storage)"
            ),
        ],
    )
    made.add_argument(
        "file", metavar="FILE", help="the sweep file (YAML); for --sync also a Monitor's study"
    )
    made.add_argument(
        "--cluster", metavar="WHERE", help="run it there: a `ray up` file, or a dashboard's address"
    )
    made.add_argument("--concurrency", type=shared.positive, metavar="N", help="cells run at once")
    made.add_argument("--limit", type=shared.positive, metavar="N", help="run at most N cells")
    made.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="run part I of N alone; N drivers of one sweep then run side by side",
    )
    made.add_argument(
        "--max-hours",
        type=_hours,
        default=math.inf,
        metavar="H",
        help="hard limit of this run: running cells then end by checkpoints",
    )
    made.add_argument(
        "--max-gpu-hours",
        type=_hours,
        default=math.inf,
        metavar="H",
        help="the same in GPU-hours, a cell counted with its share of a GPU",
    )
    made.add_argument(
        "--retry-failed", action="store_true", help="run failed and time-limited cells again too"
    )
    made.add_argument(
        "--rerun-changed",
        action="store_true",
        help="run done cells again whose code has changed since; --status lists them",
    )
    made.add_argument(
        "--price",
        type=_price,
        metavar="P",
        help="price per GPU-hour; --dry-run uses it to estimate the cost",
    )
    instead = made.add_mutually_exclusive_group()
    for name, meaning in _INSTEAD.items():
        instead.add_argument(name, action="store_true", help=meaning)
    return made


_INSTEAD = {
    "--dry-run": "show what would run and for how long; start nothing",
    "--status": "count cells by state",
    "--failures": "list failed cells grouped by error, with a command that reproduces each",
    "--sync": "make MLflow agree with the store",
    "--stop": "end the sweep where it runs now: running cells save checkpoints",
}
"""What can be asked for instead of running."""


def _hours(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("more than 0")
    return value


def _shard(text: str) -> Shard:
    from pipeline.sweep.shard import parse_shard

    try:
        return parse_shard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _price(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("at least 0")
    return value
