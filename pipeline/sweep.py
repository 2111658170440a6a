"""The command: python -m pipeline.sweep FILE. From a sweep file to finished cells in a store."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.spec import Cell, Sweep
    from pipeline.store import Store

_EPILOG = """\
examples:
  python -m pipeline.sweep sweeps/quickstart.yaml --dry-run     what would run, and for how long
  python -m pipeline.sweep sweeps/quickstart.yaml               run what is missing
  python -m pipeline.sweep sweeps/quickstart.yaml --set seeds=5 the same with two more seeds
  python -m pipeline.sweep sweeps/quickstart.yaml --limit 4     try the first four cells

Finished cells are never run again. Ctrl-C keeps them; the same command goes on.
exit codes: 0 all cells done, 1 some failed, 2 bad input, 130 interrupted
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a sweep; returns the exit code."""
    options = _parser().parse_args(arguments)
    from pipeline.spec import read_sweep

    try:
        sweep = read_sweep(options.file, options.set)
        return _dry_run(sweep, options) if options.dry_run else _run(sweep, options)
    except ValueError as error:  # every mistake of the user's is one, and says what and where
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\ninterrupted: finished cells are kept; run the same command again to go on",
            file=sys.stderr,
        )
        return 130


def _dry_run(sweep: Sweep, options: argparse.Namespace) -> int:
    from pipeline.estimate import estimated_seconds
    from pipeline.progress import duration
    from pipeline.store import Store

    store = Store(options.storage)
    finished, failed = store.finished(), store.failed()
    missing = [cell for cell in sweep.cells if cell.cell_id not in finished]
    counts = Counter(
        "done" if c.cell_id in finished else "failed" if c.cell_id in failed else "missing"
        for c in sweep.cells
    )
    print(f"{sweep.name}: {len(sweep.cells)} cells")
    for state, meaning in _STATES.items():
        print(f"  {counts[state]:>7}  {state:<8} {meaning}")
    seconds = estimated_seconds(missing, sweep.cells, store, finished)
    if not missing:
        print("nothing to run")
    elif seconds is None:
        print("time: not known before some cell has finished (--limit 4 tries four)")
    else:
        slots = options.concurrency or max(1, (os.cpu_count() or 1) // sweep.resources.cpus)
        print(
            f"time: about {duration(seconds)} of work, {duration(seconds / slots)} on {slots} slots"
        )
    return 0


_STATES = {
    "done": "have a result",
    "missing": "will run",
    "failed": "raised an error last time; will run again",
}


def _run(sweep: Sweep, options: argparse.Namespace) -> int:
    from pipeline.places import tracking_uri
    from pipeline.spec import plan
    from pipeline.store import Store

    tracking = tracking_uri(options.tracking, options.storage)
    store = Store(options.storage)
    store.write_plan(plan(sweep))
    finished = store.finished()
    missing = [cell for cell in sweep.cells if cell.cell_id not in finished]
    chosen = missing[: options.limit]
    if chosen:
        _run_cells(sweep, chosen, len(sweep.cells) - len(missing), store, tracking, options)
    if tracking:
        _complete_tracking(sweep, store, tracking)
    return _conclude(sweep, store, chosen)


def _run_cells(
    sweep: Sweep,
    chosen: list[Cell],
    finished_before: int,
    store: Store,
    tracking: str | None,
    options: argparse.Namespace,
) -> None:
    from pipeline import orchestrator
    from pipeline.progress import Progress

    print(f"{sweep.name}: {len(chosen)} cells to run, {finished_before} done", file=sys.stderr)
    if tracking:
        _prepare_tracking(sweep, tracking)
    with orchestrator.cluster():
        gpus, slots = orchestrator.device_and_slots(sweep.resources, options.concurrency)
        job = orchestrator.Job(sweep.name, store.uri, tracking, sweep.resources)
        with Progress(chosen, finished_before, slots) as progress:
            events = orchestrator.Events(progress.started, progress.ended)
            orchestrator.run(chosen, job, gpus, slots, events)


def _conclude(sweep: Sweep, store: Store, chosen: list[Cell]) -> int:
    """Say what there is now; failed cells are grouped by their error."""
    finished = store.finished()
    done = sum(cell.cell_id in finished for cell in sweep.cells)
    lost = [cell for cell in chosen if cell.cell_id not in finished]
    print(f"{sweep.name}: {done} of {len(sweep.cells)} cells done, in {store.uri}")
    if not lost:
        return 0
    failed = store.failed()
    errors = Counter(
        store.failure(cell.cell_id)["error"] if cell.cell_id in failed else "its worker was lost"
        for cell in lost
    )
    example = {store.failure(c.cell_id)["error"]: c for c in lost if c.cell_id in failed}
    for error, count in errors.most_common():
        print(f"{count} failed: {error}", file=sys.stderr)
        if error in example:
            command = f"python -m pipeline.trial {sweep.path} --cell {example[error].cell_id}"
            print(f"  see it: {command}", file=sys.stderr)
    return 1


def _prepare_tracking(sweep: Sweep, uri: str) -> None:
    from pipeline import tracking

    try:
        tracking.prepare(uri, sweep.name, sweep.description)
    except tracking.TrackingError as error:
        print(f"tracking is off until the end: {error}", file=sys.stderr)


def _complete_tracking(sweep: Sweep, store: Store, uri: str) -> None:
    """Make MLflow whole, whatever it missed while cells ran."""
    from pipeline import tracking

    try:
        tracking.prepare(uri, sweep.name, sweep.description)
        tracking.complete(uri, sweep.name, store, [cell.cell_id for cell in sweep.cells])
    except Exception as error:  # the results are safe in the store whatever MLflow does
        print(f"tracking is incomplete, run the same command again: {error}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.sweep",
        description="Run the cells of a sweep file that have no result yet, on Ray.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the sweep file (YAML)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the file: training.steps=100, seeds=5, grid.training.lr=[0.1]; repeatable",
    )
    parser.add_argument(
        "--storage", default="results", metavar="WHERE", help="folder or URI of results (results)"
    )
    parser.add_argument(
        "--tracking",
        metavar="URI",
        help="MLflow's URI, or none (MLFLOW_TRACKING_URI, else a SQLite file in the storage)",
    )
    parser.add_argument("--concurrency", type=_positive, metavar="N", help="cells run at once")
    parser.add_argument("--limit", type=_positive, metavar="N", help="run at most N cells")
    parser.add_argument("--dry-run", action="store_true", help="say what would run; starts nothing")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
