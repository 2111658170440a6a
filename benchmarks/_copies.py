"""A synthetic store of many cells, in the format of real ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline.store.filesystem import json_bytes
from pipeline.store.store import Store
from tests.helpers.stores.synthetic import write_store

ARCHITECTURES = ("resnet20", "vgg11(width=0.25)", "vgg16", "densenet40", "resnet56")
NORMALIZERS = ("none", "batch", "layer", *(f"group(groups={i})" for i in range(2, 19)))
LRS = tuple(round(10 ** (-3 + i / 3), 6) for i in range(10))

GRIDS = {100: (2, 5, 2, 5), 1_000: (4, 10, 5, 5), 10_000: (4, 20, 5, 25)}
"""By number of cells: architectures, normalizers, learning rates and seeds."""

STEPS, EVERY = 750, 12
TABLES = ("training", "gradient_ics", "moment_ics", "landscape")


def write(folder: Path, cells: int, distinct: int = 1_000) -> int:
    """Write a store of so many cells; returns the values that a cell records.

    Above ``distinct`` cells, cells that differ in their seed alone hold the same numbers (links to
    the same record files), for these take longer to make than to read.
    """
    architectures, normalizers, lrs, seeds = GRIDS[cells]
    own = max(1, min(seeds, distinct * seeds // cells))
    write_store(
        folder,
        architectures=ARCHITECTURES[:architectures],
        normalizers=NORMALIZERS[:normalizers],
        lrs=LRS[-lrs:],
        seeds=range(own),
        steps=STEPS,
        every=EVERY,
        tables=TABLES,
    )
    store = Store(str(folder))
    plan = store.plan("synthetic")
    for cell_id in list(plan["cells"]):
        for seed in range(own + plan["labels"][cell_id]["seed"], seeds, own):
            _copy(store, plan, cell_id, seed)
    store.write_plan(plan)
    return _values(store, plan["cells"][0])


def _copy(store: Store, plan: dict[str, Any], cell_id: str, seed: int) -> None:
    """The same cell under another seed: links to its records, and a result of its own."""
    new = f"{cell_id[:12]}{seed:04x}"
    result, folder = store.result(cell_id), Path(store.root) / "cells"
    (folder / new).mkdir()
    for name in result["records"]:
        os.link(folder / cell_id / name, folder / new / name)
    labels = {**result["labels"], "seed": seed}
    settings = {**result["settings"], "seed": seed}
    (folder / new / "result.json").write_bytes(
        json_bytes({**result, "cell_id": new, "labels": labels, "settings": settings})
    )
    plan["cells"].append(new)
    plan["labels"][new], plan["settings"][new] = labels, settings


def _values(store: Store, cell_id: str) -> int:
    """Numbers that a cell's records hold, those that are not known left out."""
    result = store.result(cell_id)
    tables = [store.records(result, name.removesuffix(".parquet")) for name in result["records"]]
    columns = [c for table in tables if table is not None for c in table.columns]
    return sum(len(c) - c.null_count for c in columns)
