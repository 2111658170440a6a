"""The studies of a report: the sweeps that it is about, and those that it compares them with."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.load import Found, Reader, opened
from analysis.study import Study
from pipeline.cli import did_you_mean, storage_location
from pipeline.store import Store


@dataclass
class Side:
    """One of the studies of a report: its sweeps, or those that they are compared with.

    Attributes:
        whole: whether every finished cell could be read, known once the study was.
    """

    reader: Reader
    found: Found
    whole: bool = False

    def study(self) -> Study:
        """All that was found; without a single finished cell there is nothing to report."""
        study = self.reader.study(self.found)
        self.whole = len(study.runs) == len(self.found.results)
        if study.runs.empty:
            cells = f"{len(study.planned)} cells planned"
            problems = f"; first problem: {study.problems[0]}" if study.problems else ""
            raise ValueError(f"{', '.join(study.sweeps)}: no finished cells ({cells}{problems})")
        return study


def requested(options: argparse.Namespace, stores: ExitStack) -> Side:
    """What is asked for."""
    sweeps, plans = options.sweeps, options.plan
    return _found(options, options.storage, sweeps, plans, cache(options), stores)


def compared(options: argparse.Namespace, stores: ExitStack) -> Side | None:
    """What to compare it with, if a sweep is named."""
    if options.against is None:
        if options.against_storage:
            raise ValueError("--against-storage says where --against NAME is; give both")
        return None
    if not options.sweeps:
        raise ValueError(f"--against {options.against}: say which SWEEP is compared with it")
    storage = options.against_storage or options.storage
    same_store = storage_location(storage) == storage_location(options.storage)
    if options.against in options.sweeps and same_store and not options.against_plan:
        raise ValueError(f"--against {options.against}: a sweep cannot be compared with itself")
    place, plans = cache(options, "against"), options.against_plan
    return _found(options, storage, [options.against], plans, place, stores)


def cache(options: argparse.Namespace, suffix: str = "cache") -> Path:
    """A folder beside the report, for what was read for it."""
    name = "+".join(sorted(options.sweeps)) or "all"
    out = Path(options.out or Path("reports") / name)
    return out.with_name(f"{out.name}.{suffix}")


def _found(
    options: argparse.Namespace,
    storage: str | None,
    sweeps: list[str],
    plans: list[str],
    place: Path,
    stores: ExitStack,
) -> Side:
    if options.tracking not in (None, "none") and not storage:
        store = stores.enter_context(opened(None, options.tracking, sweeps, options.tracking_store))
    else:
        _check(storage_location(storage), sweeps)
        store = stores.enter_context(opened(storage_location(storage)))
    how: Any = {"records": False, "cache": place, "processes": options.jobs, "plans": plans}
    reader = Reader(store, strict=options.strict, **how)
    return Side(reader, reader.find(sweeps))


def _check(storage: str, sweeps: list[str]) -> None:
    known = Store(storage).plans()
    if not known:
        raise ValueError(
            f"--storage {storage}: no sweep there; run one with python -m pipeline.sweep FILE"
        )
    for name in sweeps:
        if name not in known:
            raise ValueError(f"no sweep {name!r} in {storage}; {did_you_mean(name, known)}")
