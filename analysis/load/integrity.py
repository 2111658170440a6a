"""Whether cells that are one training have the same curve, as they must: probes change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from pipeline.store import Store, StoreError

_CURVE = "training.parquet"


def disagreements(
    store: Store, results: Mapping[str, Mapping[str, Any]], trainings: Mapping[str, str]
) -> list[str]:
    """A line for each cell whose training differs from that of the first with its training id.

    Equal digests of the files decide at once; else their numbers are compared, bit for bit, at the
    steps that both have, since a time limit may have cut one.

    Args:
        results: by cell, of its result: cell_id, settings, records, row.
        trainings: by cell, its training's id.
    """
    probes = [result["settings"].get("probes") for result in results.values()]
    if all(each == probes[0] for each in probes):
        return []
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for cell, result in sorted(results.items()):
        groups.setdefault(trainings[cell], []).append(result)
    return [
        line
        for first, *others in groups.values()
        for other in others
        for line in _compared(store, first, other)
    ]


def _compared(store: Store, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    start = f"cells {one['cell_id']} and {other['cell_id']} differ in their probes alone, yet "
    statuses = {one["row"]["status"], other["row"]["status"]} - {"time_limit"}
    if len(statuses) > 1:
        return [f"{start}one ended {' and one '.join(sorted(statuses))}; the first counts"]
    if one["records"].get(_CURVE) == other["records"].get(_CURVE):
        return []
    try:
        curves = [store.records(each, "training") for each in (one, other)]
    except (StoreError, OSError, pa.ArrowException):  # damage, which has a line of its own
        return []
    if None in curves or _alike(*(curve.to_pandas() for curve in curves if curve is not None)):
        return []
    return [f"{start}their training curves are not the same, bit for bit; one of them counts"]


def _alike(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two curves have the same losses, at the steps at which both have one."""
    curves = [frame.set_index("step")["train_loss"].dropna() for frame in (one, other)]
    shared = curves[0].index.intersection(curves[1].index)
    return bool((curves[0][shared] == curves[1][shared]).all())
