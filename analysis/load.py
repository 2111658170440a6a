"""The store, or MLflow, becomes tidy frames: a `Study`."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis import order, settings
from analysis.reduce import is_stuck, smooth
from pipeline.store import Store, StoreError

LABELS = ["data", "architecture", "normalizer", "training", "lr", "seed"]
"""What names a cell to a reader, in the order of sorting."""

FINISHED = ("ok", "diverged", "budget")
"""How a finished cell ended; ``budget``: its time limit cut it."""

RECORDS = ("training", "gradient_ics", "moment_ics", "landscape")


@dataclass(frozen=True)
class Study:
    """All that the report knows. Rows are ordered by label columns and step, never by file."""

    sweeps: list[str]
    planned: pd.DataFrame
    """A row per planned cell: sweep, cell_id, labels, status (ok, diverged, budget, failed,
    absent)."""
    runs: pd.DataFrame
    """A row per finished cell: cell_id, labels, status, diverged_step, stuck, optimizer,
    batch_size, the planned ``steps``, and the numbers of its summary (``steps`` there is
    ``steps_done`` here) and of its cost, flat. Not known: NaN."""
    records: dict[str, pd.DataFrame]
    """By record table: all rows, with cell_id and the labels; words are categories. A table that
    no cell has is an empty frame. ``lr`` is the label; the training table's own, which a schedule
    moves, is ``step_lr``. ``training`` has ``smooth_loss`` added (`reduce.smooth`)."""
    problems: list[str]
    """One line per damaged or inconsistent file; the cell of a damaged file counts as absent."""
    provenance: dict[str, Any]
    """Commits, versions, devices, locks and data digests seen, sorted."""
    settings: dict[str, list[str]] = field(default_factory=dict)
    """By dotted name: the values, as JSON, that finished cells have of a setting, sorted."""


def load(
    storage: str | None = None,
    *,
    tracking: str | None = None,
    sweeps: Sequence[str] = (),
    strict: bool = False,
) -> Study:
    """Read the sweeps' plans and finished cells from a store, or from MLflow alone.

    Args:
        storage: folder or URI of a store. tracking: MLflow URI; give one of the two.
        sweeps: names; none = all that the store plans.
        strict: raise at a damaged file instead of listing it in ``problems``.

    Raises:
        ValueError: for a sweep that is not there, and for damaged files if ``strict``.
    """
    if (storage is None) == (tracking is None):
        raise ValueError("give either a storage or a tracking URI")
    if tracking is not None:
        from pipeline.tracking import download

        with tempfile.TemporaryDirectory() as folder:
            download(tracking, sweeps, folder)
            return load(folder, sweeps=sweeps, strict=strict)
    return _Reader(Store(str(storage)), strict).study(sweeps)


class _Reader:
    """Reads one store, gathering problems as it goes."""

    def __init__(self, store: Store, strict: bool) -> None:
        self.store, self.strict = store, strict
        self.problems: list[str] = []

    def study(self, sweeps: Sequence[str]) -> Study:
        names = self._names(sweeps)
        planned = self._planned(names)
        results, tables = self._cells(planned)
        planned["status"] = self._status(planned, results)
        labels = planned.drop_duplicates("cell_id").set_index("cell_id")[LABELS]
        runs = order.by_labels(_runs(results, labels), [*LABELS, "cell_id"])
        records = _records(runs, tables)
        records["training"] = smooth(records["training"], runs)
        runs["stuck"] = is_stuck(runs, records["training"])
        self.problems += _inconsistent(planned, results)
        planned = order.by_labels(planned, ["sweep", *LABELS, "cell_id"])
        facts, known = _provenance(results, labels), settings.seen(results.values())
        return Study(names, planned, runs, records, self.problems, facts, known)

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

    def _cells(
        self, planned: pd.DataFrame
    ) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, pa.Table]]]:
        wanted = sorted(set(planned["cell_id"]) & self.store.finished())
        with ThreadPoolExecutor() as pool:  # reading waits for the disk or the network
            read = pool.map(lambda cell: self._guarded(lambda: self._cell(cell)), wanted)
            found = {cell: both for cell, both in zip(wanted, read, strict=True) if both}
        self.problems.sort()
        results = {cell: result for cell, (result, _) in found.items()}
        return results, {cell: tables for cell, (_, tables) in found.items()}

    def _cell(self, cell_id: str) -> tuple[dict[str, Any], dict[str, pa.Table]]:
        result = self.store.result(cell_id)
        try:
            names = [name.removesuffix(".parquet") for name in result["records"]]
            _flat(result)
            _facts(result)
            if result["cell_id"] != cell_id or result["status"] not in FINISHED:
                raise ValueError
        except (KeyError, TypeError, ValueError, AttributeError):
            raise StoreError(f"cells/{cell_id}/result.json: not what a trial writes") from None
        tables = {name: self.store.records(result, name) for name in names}
        return result, {name: _typed(table, cell_id, name) for name, table in tables.items()}

    def _guarded(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (StoreError, OSError, pa.ArrowException) as error:
            if self.strict:
                raise
            self.problems.append(str(error))
            return None

    def _status(self, planned: pd.DataFrame, results: dict[str, dict[str, Any]]) -> list[str]:
        failed = self.store.failed()
        status = {cell: result["status"] for cell, result in results.items()}
        status = {**dict.fromkeys(failed, "failed"), **status}
        return [status.get(cell, "absent") for cell in planned["cell_id"]]


def _told_apart(planned: pd.DataFrame) -> pd.DataFrame:
    """Name the sweep in ``training`` where cells of two sweeps bear the same labels.

    Labels tell what varies *within* a sweep, so two sweeps may use the same ones for unlike cells.
    """
    distinct = planned.drop_duplicates("cell_id")
    if distinct.duplicated(LABELS).any():
        planned["training"] = (planned["training"] + " in " + planned["sweep"]).str.strip()
    return planned


def _typed(table: pa.Table | None, cell_id: str, name: str) -> pa.Table:
    """Words as strings, whole numbers as int64, all else as float64."""
    if table is None or (table.num_rows and "step" not in table.column_names):
        raise StoreError(f"cells/{cell_id}/{name}.parquet: has no column 'step'")
    fields = [pa.field(field.name, _type(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def _type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.string()
    return pa.int64() if pa.types.is_integer(kind) else pa.float64()


def _flat(result: dict[str, Any]) -> dict[str, Any]:
    """The row of `Study.runs` but for the labels."""
    training = result["settings"]["training"]
    row = {key: result[key] for key in ("cell_id", "status")}
    row["optimizer"] = str(training.get("optimizer"))
    row["digest"] = _digest(result)
    numbers = {"diverged_step": result["diverged_step"]}
    numbers |= {key: training[key] for key in ("steps", "batch_size")}
    summary, cost = dict(result["summary"]), dict(result["cost"])
    numbers["steps_done"] = summary.pop("steps")
    for key in ("probe_seconds", "probe_memory_bytes"):
        cost |= {f"{key}_{name}": value for name, value in cost.pop(key, {}).items()}
    numbers |= summary | cost
    return row | {key: np.nan if v is None else float(v) for key, v in numbers.items()}


def _digest(result: dict[str, Any]) -> str:
    """sha256 of the cell's ``result.json``, as the store writes it."""
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    return hashlib.sha256(text.encode()).hexdigest()


_WORDS = ["cell_id", "status", "optimizer", "digest"]
_EXPECTED = ("diverged_step", "steps", "initial_loss", "final_train_loss", "train_accuracy")
_EXPECTED += ("validation_accuracy", "test_accuracy", "seconds_per_step", "peak_memory_bytes")


def _runs(results: dict[str, dict[str, Any]], labels: pd.DataFrame) -> pd.DataFrame:
    frame = pd.DataFrame([_flat(results[cell]) for cell in sorted(results)])
    frame = frame.reindex(columns=list(dict.fromkeys([*_WORDS, *_EXPECTED, *frame.columns])))
    numbers = [name for name in frame.columns if name not in _WORDS]
    frame = frame.astype(dict.fromkeys(numbers, float) | dict.fromkeys(_WORDS, "str"))
    return frame.join(labels, on="cell_id")


def _records(runs: pd.DataFrame, tables: dict[str, dict[str, pa.Table]]) -> dict[str, pd.DataFrame]:
    names = sorted({*RECORDS, *(name for cell in tables.values() for name in cell)})
    of_runs = [tables[cell] for cell in runs["cell_id"]]
    return {name: _stacked(runs, [cell.get(name) for cell in of_runs]) for name in names}


def _stacked(runs: pd.DataFrame, tables: Sequence[pa.Table | None]) -> pd.DataFrame:
    """The runs' tables one below the other, each sorted by step, with the runs' labels."""
    present = [table for table in tables if table is not None and table.num_rows]
    empty = pa.table({"step": pa.array([], pa.int64())})
    stacked = pa.concat_tables(present or [empty], promote_options="permissive").to_pandas()
    stacked = stacked.rename(columns={"lr": "step_lr"})
    for name in stacked.select_dtypes("str").columns:
        stacked[name] = stacked[name].astype("category")
    run = np.repeat(np.arange(len(runs)), [0 if t is None else t.num_rows for t in tables])
    for name in ("cell_id", *LABELS):
        stacked[name] = _repeated(runs[name], run)
    return stacked.iloc[np.lexsort((stacked["step"], run))].reset_index(drop=True)


def _repeated(column: pd.Series, run: np.ndarray) -> Any:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()[run]
    names = list(column) if column.name == "cell_id" else order.names(column)
    return pd.Categorical(column, categories=names).take(run)


_FACTS = ("commit", "device", "lock", "data_digest", "versions")


def _facts(result: dict[str, Any]) -> dict[str, Any]:
    """The provenance that a study sums up; a fact that a result does not know is left out."""
    known = {key: result["provenance"].get(key) for key in _FACTS}
    known["versions"] = dict(known["versions"] or {})
    return {key: value for key, value in known.items() if value is not None}


def _provenance(results: dict[str, dict[str, Any]], labels: pd.DataFrame) -> dict[str, Any]:
    facts = {cell: _facts(result) for cell, result in results.items()}
    seen = {
        f"{key}s": sorted({str(fact[key]) for fact in facts.values() if key in fact})
        for key in ("commit", "device", "lock")
    }
    versions = [item for fact in facts.values() for item in fact["versions"].items()]
    digests = {cell: fact["data_digest"] for cell, fact in facts.items() if "data_digest" in fact}
    data = [(str(labels["data"][cell]), digest) for cell, digest in digests.items()]
    return {**seen, "versions": _gathered(versions), "data_digests": _gathered(data)}


def _gathered(pairs: Sequence[tuple[str, Any]]) -> dict[str, list[str]]:
    keys = sorted({key for key, _ in pairs})
    return {key: sorted({str(value) for k, value in pairs if k == key}) for key in keys}


def _inconsistent(planned: pd.DataFrame, results: dict[str, dict[str, Any]]) -> list[str]:
    """Sweeps whose cells are of different commits, or of different bytes under one data label."""
    lines = []
    for sweep, cells in planned.groupby("sweep"):
        cells = cells[cells["cell_id"].isin(list(results))]
        found = _provenance({c: results[c] for c in cells["cell_id"]}, cells.set_index("cell_id"))
        if len(found["commits"]) > 1:
            lines.append(f"sweep {sweep}: cells of {len(found['commits'])} commits are mixed")
        lines += [
            f"sweep {sweep}: {name} has {len(digests)} different contents (data digests)"
            for name, digests in found["data_digests"].items()
            if len(digests) > 1
        ]
    return lines
