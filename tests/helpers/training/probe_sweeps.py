"""Stores whose cells share trainings: a synthetic sweep, and copies of it with other probes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.store.store import Store

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""From the settings of a cell's probes to others."""


def lengths(count: int) -> Change:
    """The number of lengths along a line of the landscape."""
    return lambda probes: {**probes, "landscape": {**probes["landscape"], "lengths": count}}


def add_variant(
    folder: Path, change: Change, *, of: str = "synthetic", name: str, factor: float = 1.0
) -> None:
    """Plan the cells of a sweep with other probes, and finish those that are finished.

    Their trainings are the same; what landscapes measured is ``factor`` times that of the original.
    """
    store = Store(str(folder))
    plan = store.plan(of)
    found: dict[str, Any] = {**plan, "name": name, "cells": [], "settings": {}, "labels": {}}
    for cell in plan["cells"]:
        settings = {**plan["settings"][cell], "probes": change(plan["settings"][cell]["probes"])}
        own = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
        found["cells"].append(own)
        found["settings"][own] = settings
        found["labels"][own] = plan["labels"][cell]
        if store.has_result(cell):
            _copy(store, cell, own, settings, factor)
    store.write_plan(found)


def join(folder: Path, names: list[str], name: str) -> None:
    """Plan the cells of several sweeps as one, as a grid over their probes would."""
    store = Store(str(folder))
    plans = [store.plan(each) for each in names]
    whole: dict[str, Any] = {**plans[0], "name": name}
    whole["cells"] = list(dict.fromkeys(cell for plan in plans for cell in plan["cells"]))
    for key in ("settings", "labels"):
        whole[key] = {cell: each for plan in plans for cell, each in plan[key].items()}
    store.write_plan(whole)


def _copy(store: Store, cell: str, own: str, settings: dict[str, Any], factor: float) -> None:
    result = store.result(cell)
    names = [name.removesuffix(".parquet") for name in result["records"]]
    tables = {name: store.records(result, name) for name in names}
    known = {n: t for n, t in tables.items() if t is not None}
    known = {n: t for n, t in known.items() if n == "training" or n in settings["probes"]}
    if "landscape" in known:
        known["landscape"] = _scaled(known["landscape"], factor)
    store.write_result({**result, "cell_id": own, "settings": settings}, known)


def _scaled(table: pa.Table, factor: float) -> pa.Table:
    for name in ("loss_range_relative", "gradient_difference_relative", "effective_beta"):
        place = table.column_names.index(name)
        values = [factor * value for value in table.column(name).to_pylist()]
        table = table.set_column(place, name, [values])
    return table
