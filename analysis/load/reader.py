"""Reads a store in two steps: what there is to read (`Found`), and all of it (a `Study`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.load import (
    batches as stream,
)
from analysis.load import (
    integrity,
    plans,
)
from analysis.load import (
    provenance as facts,
)
from analysis.load import (
    result_row as cells,
)
from analysis.load.cache import Cache
from analysis.reductions import is_stuck, summaries
from analysis.study import LABELS, RECORDS, Study, concat, label_order
from analysis.study import setting_values as settings
from pipeline.store import Store, StoreError


@dataclass(frozen=True)
class Found:
    """What a study is made of, its record tables not yet read.

    Attributes:
        sweeps: names. planned: `Study.planned` without the status. results: by cell what a study
        keeps of its result. failed: cells whose last trial failed. problems: damaged files so far.
        cells, trainings, notes: see `Study`.
    """

    sweeps: list[str]
    planned: pd.DataFrame
    results: dict[str, dict[str, Any]]
    failed: list[str]
    problems: list[str]
    cells: dict[str, dict[str, Any]]
    trainings: dict[str, str]
    notes: list[str]

    def digest(self) -> str:
        """Of all this; the digest of a cell's result is one of its records, too."""
        rows = self.planned.astype(str).to_numpy().tolist()
        results = {cell: found["row"]["digest"] for cell, found in self.results.items()}
        known = [self.sweeps, rows, results, self.failed, self.problems, self.notes]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()


class Reader:
    """Reads one store, gathering problems as it goes."""

    def __init__(
        self,
        store: Store,
        *,
        strict: bool = False,
        records: bool = True,
        cache: Path | None = None,
        processes: int = 1,
        plans: Sequence[str] = (),
    ) -> None:
        """Arguments: see `analysis.load.sources`."""
        self.store, self.strict, self.whole, self.processes = store, strict, records, processes
        self.wanted = plans
        self.cache = Cache(None if strict else cache)
        self.problems: list[str] = []

    def find(self, sweeps: Sequence[str]) -> Found:
        """The plans and the finished cells' results."""
        names, standing = self._names(sweeps), self.store.cell_states()
        reading = plans.Plans(self.store, standing.finished, self.wanted, self.strict)
        shown = reading.take(names)
        self.problems += reading.problems
        planned = plans.planned(shown)
        results = self._results(sorted(set(planned["cell_id"]) & standing.finished))
        failed = sorted(standing.failed & set(planned["cell_id"]))
        problems, cells = sorted(self.problems), plans.cells(shown)
        own = plans.trainings(shown)
        return Found(names, planned, results, failed, problems, cells, own, reading.notes)

    def study(self, found: Found) -> Study:
        """All of it, the record tables read and reduced."""
        reading = self._read(found.results)
        results = {c: known for c, known in found.results.items() if c not in reading.damaged}
        planned = found.planned.assign(status=_status(found, results))
        runs = _runs(results, planned)
        reduced = summaries.labelled(reading.reduced(list(runs["cell_id"])), runs)
        runs["stuck"] = is_stuck(runs, reduced["records/training"])
        records = _records(runs, reading.whole) if self.whole else {}
        known = {cell: own["facts"] for cell, own in results.items()}
        data = dict(zip(runs["cell_id"], runs["data"], strict=True))
        origin = facts.provenance(known, data)
        unlike = integrity.disagreements(self.store, results, found.trainings)
        problems = facts.gathered([*found.problems, *reading.problems, *unlike])
        problems += facts.inconsistent(planned, known) + facts.mixed(origin)
        problems += facts.own_loops(known)
        problems += facts.unsealed(known)
        return Study(
            sweeps=found.sweeps,
            planned=label_order.by_labels(planned, ["sweep", *LABELS, "cell_id"]),
            runs=runs,
            records=records,
            problems=problems,
            provenance=origin,
            settings=settings.seen(results.values()),
            reduced=reduced,
            cells=found.cells,
            trainings=found.trainings,
            notes=found.notes,
        )

    def _names(self, sweeps: Sequence[str]) -> list[str]:
        known = self.store.plans()
        for name in sweeps:
            if name not in known:
                has = ", ".join(known) or "none"
                raise ValueError(f"no sweep {name!r} in {self.store.uri}; sweeps there: {has}")
        return sorted(set(sweeps) or known)

    def _results(self, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Of each undamaged result what a study keeps of it."""
        with ThreadPoolExecutor() as pool:  # reading waits for the disk or the network
            read = pool.map(lambda cell: self._guarded(lambda: self._result(cell)), wanted)
            return {cell: found for cell, found in zip(wanted, read, strict=True) if found}

    def _result(self, cell_id: str) -> dict[str, Any]:
        result, row = cells.result(self.store, cell_id)
        kept = {key: result[key] for key in ("cell_id", "records", "settings")}
        return {**kept, "row": row, "facts": facts.study_facts(result)}

    def _guarded(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (StoreError, OSError, pa.ArrowException) as error:
            if self.strict:
                raise
            self.problems.append(str(error))
            return None

    def _read(self, results: dict[str, dict[str, Any]]) -> stream.Reading:
        if self.whole:
            reading = stream.read_whole(self.store, results)
        else:
            reading = stream.read(self.store, results, self.cache, self.processes)
        if self.strict and reading.problems:
            raise StoreError(reading.problems[0])
        return reading


def _status(found: Found, results: dict[str, Any]) -> list[str]:
    status = {cell: known["row"]["status"] for cell, known in results.items()}
    status = {**dict.fromkeys(found.failed, "failed"), **status}
    return [status.get(cell, "absent") for cell in found.planned["cell_id"]]


def _runs(results: dict[str, dict[str, Any]], planned: pd.DataFrame) -> pd.DataFrame:
    rows = concat.runs([found["row"] for _, found in sorted(results.items())])
    labels = planned.drop_duplicates("cell_id").set_index("cell_id")[LABELS]
    return label_order.by_labels(rows.join(labels, on="cell_id"), [*LABELS, "cell_id"])


def _records(runs: pd.DataFrame, tables: stream.Tables) -> dict[str, pd.DataFrame]:
    """All rows of the record tables, with their labels."""
    found = summaries.smoothed(concat.records(list(runs["cell_id"]), tables), runs)
    absent: Iterable[str] = (name for name in RECORDS if name not in found)
    found |= {name: concat.stacked([], []) for name in absent}
    return {name: concat.labelled(found[name], runs) for name in sorted(found)}
