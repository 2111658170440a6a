"""The command: python -m analysis.report [SWEEP ...]. From finished cells to a report."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.study import Study

_EPILOG = """\
examples:
  python -m analysis.report quickstart                      one sweep of the store results/
  python -m analysis.report                                 every sweep of it, in one report
  python -m analysis.report quickstart --tracking http://mlflow:5000
                                                            from MLflow alone, and attached there
  python -m analysis.report quickstart --storage s3://bucket/results --out reports/paper
  python -m analysis.report new --against old               and what changed from another sweep

The report is report.html, and the same as report.md; tables/ and figures/ are ready for a paper.
The same results and seed give the same bytes. An unfinished sweep is reported as far as it is.
exit codes: 0 written, 2 bad input, 130 interrupted
"""


def main(arguments: list[str] | None = None) -> int:
    """Write a report; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _report(options)
    except BrokenPipeError:  # of whoever reads what is printed
        raise
    except (ValueError, OSError) as error:  # ValueError: every mistake of the user's
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: the report is not complete", file=sys.stderr)
        return 130


def _report(options: argparse.Namespace) -> int:
    other, study = _other(options), _study(options)
    from analysis.render.write import write

    out = Path(options.out or Path("reports") / "+".join(study.sweeps))
    cache = None if options.strict else _cache(options, "cache")
    how: Any = {"seed": options.seed, "command": _command(options), "cache": cache}
    write(study, out, other=other, **how)
    print(f"report: {out / 'report.html'}")
    _attach(options, study.sweeps, out)
    return 0


def _attach(options: argparse.Namespace, sweeps: list[str], out: Path) -> None:
    """Put the report into MLflow: where it was told to be, or beside the store that was read.

    Raises:
        TrackingError: if it was told where and that does not work.
    """
    from pipeline.places import existing_tracking

    uri = options.tracking or existing_tracking(options.storage or "results")
    if uri in (None, "none"):
        return
    from pipeline.tracking import TrackingError, attach_report

    try:
        for sweep in sweeps:
            attach_report(uri, sweep, str(out))
    except TrackingError as error:
        if options.tracking:
            raise
        print(f"not attached in MLflow: {error}", file=sys.stderr)
    else:
        print(f"attached in MLflow to the summary run of: {', '.join(sweeps)}")


def _study(options: argparse.Namespace) -> Study:
    """Read what was asked for; a study without a single finished cell has nothing to report."""
    return _read(options, options.storage, options.sweeps, _cache(options, "cache"))


def _other(options: argparse.Namespace) -> Study | None:
    """The study to compare with, if one is named."""
    if options.against is None:
        if options.against_storage:
            raise ValueError("--against-storage says where --against NAME is; give both")
        return None
    if not options.sweeps:
        raise ValueError(f"--against {options.against}: say which SWEEP is compared with it")
    if options.against in options.sweeps and options.against_storage in (None, options.storage):
        raise ValueError(f"--against {options.against}: a sweep cannot be compared with itself")
    storage = options.against_storage or options.storage
    return _read(options, storage, [options.against], _cache(options, "against"))


def _cache(options: argparse.Namespace, suffix: str) -> Path:
    """A folder beside the report, for what was read for it."""
    name = "+".join(sorted(options.sweeps)) or "all"
    out = Path(options.out or Path("reports") / name)
    return out.with_name(f"{out.name}.{suffix}")


def _read(
    options: argparse.Namespace, storage: str | None, sweeps: list[str], cache: Path
) -> Study:
    from analysis.load import load

    how: Any = {"sweeps": sweeps, "strict": options.strict, "records": False, "cache": cache}
    how["processes"] = min(2, os.cpu_count() or 1)
    if options.tracking not in (None, "none") and storage is None:
        study = load(tracking=options.tracking, **how)
    else:
        _check(storage or "results", sweeps)
        study = load(storage or "results", **how)
    if study.runs.empty:
        cells = f"{len(study.planned)} cells planned"
        problems = f"; first problem: {study.problems[0]}" if study.problems else ""
        raise ValueError(f"{', '.join(study.sweeps)}: no finished cells ({cells}{problems})")
    return study


def _check(storage: str, sweeps: list[str]) -> None:
    from pipeline.store import Store
    from pipeline.yaml_file import did_you_mean

    known = Store(storage).plans()
    if not known:
        raise ValueError(
            f"--storage {storage}: no sweep there; run one with python -m pipeline.sweep FILE"
        )
    for name in sweeps:
        if name not in known:
            raise ValueError(f"no sweep {name!r} in {storage}; {did_you_mean(name, known)}")


def _command(options: argparse.Namespace) -> str:
    """The command, without the places that it reads and writes: these change no number."""
    strict = ["--strict"] if options.strict else []
    against = ["--against", options.against] if options.against else []
    words = ["python -m analysis.report", *options.sweeps, *against, *strict]
    words += ["--seed", str(options.seed)]
    return " ".join(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report",
        description="Turn the finished cells of sweeps into tables, figures and one HTML page.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweeps", nargs="*", metavar="SWEEP", help="names; none: all of the store")
    parser.add_argument("--storage", metavar="WHERE", help="folder or URI of results (results)")
    parser.add_argument(
        "--tracking",
        metavar="URI",
        help="MLflow's URI, or none: attach the report there; without --storage, also read from "
        "there (where the sweep was tracked)",
    )
    parser.add_argument(
        "--against", metavar="NAME", help="another sweep: say what changed from it, with intervals"
    )
    parser.add_argument(
        "--against-storage", metavar="WHERE", help="where that one's results are (--storage)"
    )
    parser.add_argument("--out", metavar="FOLDER", help="where to write (reports/SWEEP)")
    parser.add_argument(
        "--strict", action="store_true", help="stop at a damaged file instead of listing it"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the bootstrap and random tests (0)"
    )
    return parser


if __name__ == "__main__":
    from pipeline.command import run

    run(main)
