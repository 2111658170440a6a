"""The store, or MLflow, becomes tidy frames: a `Study`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis import cells, facts, lean, order, settings, stack, stream
from analysis.cache import Cache
from analysis.reduce import is_stuck
from analysis.study import LABELS, RECORDS, Study
from pipeline.store import Standing, Store, StoreError

__all__ = ["LABELS", "Study", "load"]


def load(
    storage: str | None = None,
    *,
    tracking: str | None = None,
    sweeps: Sequence[str] = (),
    strict: bool = False,
    records: bool = True,
    cache: Path | None = None,
    processes: int = 1,
) -> Study:
    """Read the sweeps' plans and finished cells from a store, or from MLflow alone.

    Args:
        storage: folder or URI of a store. tracking: MLflow URI; give one of the two.
        sweeps: names; none = all that the store plans.
        strict: raise at a damaged file instead of listing it in ``problems``; reads every file.
        records: hold all rows of the record tables; without them memory is that of the reductions
            (`Study.reduced`), about 20 kB a cell.
        cache: folder of reductions made earlier; used, and added to, where ``records`` is false.
        processes: how many read where ``records`` is false.

    Raises:
        ValueError: for a sweep that is not there, and for damaged files if ``strict``.
    """
    if (storage is None) == (tracking is None):
        raise ValueError("give either a storage or a tracking URI")
    how: dict[str, Any] = {"records": records, "cache": cache, "processes": processes}
    if tracking is not None:
        from pipeline.tracking import download

        with tempfile.TemporaryDirectory() as folder:
            download(tracking, sweeps, folder)
            return load(folder, sweeps=sweeps, strict=strict, **how)
    return _Reader(Store(str(storage)), strict, **how).study(sweeps)


class _Reader:
    """Reads one store, gathering problems as it goes."""

    def __init__(
        self, store: Store, strict: bool, records: bool, cache: Path | None, processes: int
    ) -> None:
        self.store, self.strict, self.whole, self.processes = store, strict, records, processes
        self.cache = Cache(None if strict else cache)
        self.problems: list[str] = []

    def study(self, sweeps: Sequence[str]) -> Study:
        names = self._names(sweeps)
        planned, standing = self._planned(names), self.store.standing()
        results = self._results(sorted(set(planned["cell_id"]) & standing.finished))
        reading = self._read(results)
        results = {c: found for c, found in results.items() if c not in reading.damaged}
        planned["status"] = _status(planned, results, standing)
        runs = _runs(results, planned)
        reduced = lean.labelled(reading.reduced(list(runs["cell_id"])), runs)
        runs["stuck"] = is_stuck(runs, reduced["records/training"])
        records = _records(runs, reading.whole) if self.whole else {}
        known = {cell: found["facts"] for cell, found in results.items()}
        data = dict(zip(runs["cell_id"], runs["data"], strict=True))
        self.problems = facts.gathered([*self.problems, *reading.problems])
        self.problems += facts.inconsistent(planned, known)
        return Study(
            sweeps=names,
            planned=order.by_labels(planned, ["sweep", *LABELS, "cell_id"]),
            runs=runs,
            records=records,
            problems=self.problems,
            provenance=facts.provenance(known, data),
            settings=settings.seen(results.values()),
            reduced=reduced,
        )

    def _names(self, sweeps: Sequence[str]) -> list[str]:
        known = self.store.plans()
        for name in sweeps:
            if name not in known:
                has = ", ".join(known) or "none"
                raise ValueError(f"no sweep {name!r} in {self.store.uri}; sweeps there: {has}")
        return sorted(set(sweeps) or known)

    def _planned(self, names: Sequence[str]) -> pd.DataFrame:
        rows = [
            {"sweep": name, "cell_id": cell_id, **{k: plan["labels"][cell_id][k] for k in LABELS}}
            for name in names
            for plan in [self._guarded(lambda name=name: self._plan(name))]
            if plan is not None
            for cell_id in plan["cells"]
        ]
        frame = pd.DataFrame(rows, columns=["sweep", "cell_id", *LABELS])
        return _told_apart(frame.astype({"lr": float, "seed": int}))

    def _plan(self, name: str) -> dict[str, Any]:
        plan = self.store.plan(name)
        try:
            rows = [[plan["labels"][cell][key] for key in LABELS] for cell in plan["cells"]]
            pd.DataFrame(rows, columns=LABELS).astype({"lr": float, "seed": int})
        except (KeyError, TypeError, ValueError):
            message = f"sweeps/{name}.json: a planned cell lacks its labels, or they are damaged"
            raise StoreError(message) from None
        return plan

    def _results(self, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Of each undamaged result what a study keeps of it."""
        with ThreadPoolExecutor() as pool:  # reading waits for the disk or the network
            read = pool.map(lambda cell: self._guarded(lambda: self._result(cell)), wanted)
            return {cell: found for cell, found in zip(wanted, read, strict=True) if found}

    def _result(self, cell_id: str) -> dict[str, Any]:
        result, row = cells.result(self.store, cell_id)
        kept = {key: result[key] for key in ("cell_id", "records", "settings")}
        return {**kept, "row": row, "facts": facts.of(result)}

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


def _told_apart(planned: pd.DataFrame) -> pd.DataFrame:
    """Name the sweep in ``training`` where cells of two sweeps bear the same labels.

    Labels tell what varies *within* a sweep, so two sweeps may use the same ones for unlike cells.
    """
    distinct = planned.drop_duplicates("cell_id")
    if distinct.duplicated(LABELS).any():
        planned["training"] = (planned["training"] + " in " + planned["sweep"]).str.strip()
    return planned


def _status(planned: pd.DataFrame, results: dict[str, Any], standing: Standing) -> list[str]:
    status = {cell: found["row"]["status"] for cell, found in results.items()}
    status = {**dict.fromkeys(standing.failed, "failed"), **status}
    return [status.get(cell, "absent") for cell in planned["cell_id"]]


def _runs(results: dict[str, dict[str, Any]], planned: pd.DataFrame) -> pd.DataFrame:
    rows = stack.runs([found["row"] for _, found in sorted(results.items())])
    labels = planned.drop_duplicates("cell_id").set_index("cell_id")[LABELS]
    return order.by_labels(rows.join(labels, on="cell_id"), [*LABELS, "cell_id"])


def _records(runs: pd.DataFrame, tables: stream.Tables) -> dict[str, pd.DataFrame]:
    """All rows of the record tables, with their labels."""
    found = lean.smoothed(stack.records(list(runs["cell_id"]), tables), runs)
    absent: Iterable[str] = (name for name in RECORDS if name not in found)
    found |= {name: stack.stacked([], []) for name in absent}
    return {name: stack.labelled(found[name], runs) for name in sorted(found)}
