"""What MLflow gets of a cell's numbers: few keys, few points; the records themselves are files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

MAX_KEYS = 50
"""Metric keys a run: more make the MLflow UI slow."""
MAX_POINTS = 40
"""Points a curve."""

Curve = list[tuple[int, float]]
"""(step, value) pairs, in the order of the steps."""


def coarse_curves(result: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> dict[str, Curve]:
    """Curves by key: ``final/…`` (one point), ``training/…``, ``<probe>/…``.

    A probe's value at a step is the mean over its rows of that step. The keys that the summary and
    the training curves leave are shared by the probes, each giving its first columns.
    """
    cost = {key: result["cost"][key] for key in ("seconds", "seconds_per_step")}
    final = {**result["summary"], **cost}
    curves = {f"final/{key}": [(0, float(v))] for key, v in final.items() if v is not None}
    curves |= _curves("training", tables["training"], MAX_KEYS - len(curves))
    probes = [name for name in tables if name != "training"]
    share = (MAX_KEYS - len(curves)) // max(1, len(probes))
    for name in probes:
        curves |= _curves(name, tables[name], share)
    return curves


def _curves(table_name: str, table: pa.Table, most: int) -> dict[str, Curve]:
    frame = table.to_pandas()
    columns = [name for name in frame.select_dtypes("float").columns if name != "lr"][:most]
    means = frame.groupby("step")[columns].mean()
    return {f"{table_name}/{name}": _thinned(means[name].to_numpy(), means) for name in columns}


def _thinned(values: np.ndarray, frame: Any) -> Curve:
    """The finite points, at most so many, the last among them."""
    kept = np.flatnonzero(np.isfinite(values))
    stride = max(1, -(-len(kept) // (MAX_POINTS - 1)))
    chosen = sorted({*kept[::stride].tolist(), *kept[-1:].tolist()})
    steps = frame.index.to_numpy()
    return [(int(steps[i]), float(values[i])) for i in chosen]
