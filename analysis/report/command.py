"""The command: python -m analysis.report [SWEEP ...]. From finished cells to a report."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import (
    affinity,
    argument,
    exit_code,
    graceful_shutdown,
    local_folder,
    local_path,
    output_file,
    output_folder,
    positive,
    print_error,
    storage_location,
    storage_parent,
    tracking_parent,
)

if TYPE_CHECKING:
    from analysis.report.inputs import Side
    from analysis.study import Study

_EPILOG = """\
examples:
  python -m analysis.report quickstart                      one sweep of the store results/
  python -m analysis.report                                 every sweep of it, in one report
  python -m analysis.report quickstart --tracking http://mlflow:5000
                                                            from MLflow alone, and attached there
  python -m analysis.report quickstart --storage s3://bucket/results --out reports/paper
  python -m analysis.report new --against old               and what changed from another sweep
  python -m analysis.report quickstart --save q.study       also all that it reads, in one file
  python -m analysis.report --from q.study                  the same report, without the store

The report is report.html, and the same as report.md; tables/ and figures/ are ready for a paper.
The same results and seed give the same bytes. An unfinished sweep is reported as far as it is.
exit codes: 0 written, 2 bad input, 130 interrupted
"""
_TRACKING = (
    "MLflow's URI, or none: attach the report there; without --storage, also read from there "
    "(where the sweep was tracked)"
)


def main(arguments: list[str] | None = None) -> int:
    """Write a report; returns the exit code."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _report(options), "the report is not complete")


def _report(options: argparse.Namespace) -> int:
    with graceful_shutdown():
        return _write_from(options) if options.from_file else _write_and_attach(options)


def _write_from(options: argparse.Namespace) -> int:
    """The report of a study file, which says all: no store and no MLflow is asked."""
    from analysis.load import read_study
    from analysis.render.write import write

    _refuse_beside_from(options)
    study = read_study(Path(options.from_file))
    out = _out(options, study.sweeps)
    write(study, out, seed=options.seed, command=_command(options), jobs=options.jobs)
    print(f"report: {out / 'report.html'}")
    return 0


def _out(options: argparse.Namespace, sweeps: list[str]) -> Path:
    return Path(options.out or Path("reports") / "+".join(sweeps))


def _refuse_beside_from(options: argparse.Namespace) -> None:
    beside = {
        "SWEEP": options.sweeps,
        "--storage": options.storage,
        "--tracking": options.tracking not in (None, "none"),
        "--tracking-store": options.tracking_store,
        "--plan": options.plan,
        "--against": options.against,
        "--against-storage": options.against_storage,
        "--against-plan": options.against_plan,
        "--strict": options.strict,
        "--save": options.save,
    }
    if given := [name for name, value in beside.items() if value]:
        raise ValueError(
            f"--from {options.from_file}: the file says all that the report is of; "
            f"leave out {', '.join(given)}"
        )


def _write_and_attach(options: argparse.Namespace) -> int:
    from analysis.report import inputs as sides
    from analysis.report import up_to_date as written

    with ExitStack() as stores:
        other, own = sides.compared(options, stores), sides.requested(options, stores)
        out = _out(options, own.found.sweeps)
        both = [own, *([other] if other else [])]
        source = written.source([side.found for side in both], options.seed, _command(options))
        known = not (options.strict or options.save)
        known = known and written.holds(out, sides.cache(options), source)
        if not known:
            _write(options, both, out, source)
    for note in [note for side in both for note in side.found.notes]:
        print(note, file=sys.stderr)
    print(f"report{' is up to date' if known else ''}: {out / 'report.html'}")
    _attach(options, own.found.sweeps, out)
    return 0


def _write(options: argparse.Namespace, both: list[Side], out: Path, source: str) -> None:
    from analysis.render.write import write
    from analysis.report import inputs as sides
    from analysis.report import up_to_date as written

    study, *others = [side.study() for side in both]
    if options.save:
        _save(study, Path(options.save))
    cache = None if options.strict else sides.cache(options)
    how: Any = {"seed": options.seed, "command": _command(options), "jobs": options.jobs}
    write(study, out, other=others[0] if others else None, **how)
    if cache and all(side.whole for side in both):
        written.remember(out, cache, source)


def _save(study: Study, path: Path) -> None:
    from analysis.load import write_study

    try:
        write_study(study, path)
    except OSError as error:
        raise ValueError(f"--save {path}: {error.strerror}") from error
    print(f"study: {path}")


def _attach(options: argparse.Namespace, sweeps: list[str], out: Path) -> None:
    """Put the report into MLflow: where it was told to be, or beside the store that was read.

    Raises:
        TrackingError: if it was told where and that does not work.
    """
    from pipeline.tracking.uri import existing_tracking

    storage = None
    if options.storage or not options.tracking:
        storage = storage_location(options.storage)
    uri = options.tracking or existing_tracking(storage_location(options.storage))
    if uri in (None, "none"):
        return
    from analysis.report.summary_note import counts, note
    from pipeline.store import Store, StoreError
    from pipeline.tracking.client import TrackingError, attach_report, refuse_copy

    try:
        own = options.tracking_store
        if storage is not None:
            store = Store(storage)
            own = store.store_id
            for sweep in sweeps:
                refuse_copy(uri, sweep, store)
        for sweep in sweeps:
            attach_report(uri, sweep, str(out), own, note(out), counts(out))
    except (TrackingError, StoreError) as error:  # of a store that cannot be written, for one
        if options.tracking:
            raise
        print_error(f"not attached in MLflow: {error}")
    else:
        print(f"attached in MLflow to the summary run of: {', '.join(sweeps)}")


def _command(options: argparse.Namespace) -> str:
    """The command, without the places that it reads and writes: these change no number."""
    strict = ["--strict"] if options.strict else []
    against = ["--against", options.against] if options.against else []
    against += [word for each in options.against_plan for word in ("--against-plan", each)]
    plans = [word for each in options.plan for word in ("--plan", each)]
    plans += ["--from", Path(options.from_file).name] if options.from_file else []
    words = ["python -m analysis.report", *options.sweeps, *plans, *against, *strict]
    words += ["--seed", str(options.seed)]
    return " ".join(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report",
        description="Turn the finished cells of sweeps into tables, figures and one HTML page.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[storage_parent(), tracking_parent(_TRACKING)],
    )
    parser.add_argument("sweeps", nargs="*", metavar="SWEEP", help="names; none: all of the store")
    parser.add_argument(
        "--against", metavar="NAME", help="another sweep: say what changed from it, with intervals"
    )
    parser.add_argument(
        "--against-storage",
        type=argument(local_path),
        metavar="WHERE",
        help="where that one's results are (--storage)",
    )
    parser.add_argument(
        "--plan",
        action="append",
        default=[],
        metavar="ID",
        help="of a sweep's name with several plans (--set, an edited file) the one to report; the "
        "report names them; default: the one with the most finished cells; repeatable",
    )
    parser.add_argument(
        "--against-plan",
        action="append",
        default=[],
        metavar="ID",
        help="the same of the sweep of --against, which may then be SWEEP itself",
    )
    parser.add_argument(
        "--tracking-store",
        metavar="ID",
        help="where several stores have tracked a sweep in one MLflow: whose runs to read",
    )
    parser.add_argument(
        "--out",
        type=argument(output_folder),
        metavar="FOLDER",
        help="where to write (reports/SWEEP)",
    )
    _add_study_file(parser)
    parser.add_argument(
        "--strict", action="store_true", help="stop at a damaged file instead of listing it"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the bootstrap and random tests (0)"
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=affinity(),
        metavar="N",
        help="processes that read records and draw figures (all cores)",
    )
    return parser


def _add_study_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--save",
        type=argument(output_file),
        metavar="FILE",
        help="also write all that the report reads to one file, some kilobytes a cell: to commit, "
        "or to publish beside a paper",
    )
    parser.add_argument(
        "--from",
        dest="from_file",
        type=argument(local_folder),
        metavar="FILE",
        help="make the report of such a file; no store is read, and none is needed",
    )
