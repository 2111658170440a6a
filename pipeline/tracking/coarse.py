"""What MLflow gets of a cell's numbers: few keys, few points; the records themselves are files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

MAX_KEYS = 50
"""Metric keys a run: more make the MLflow UI slow."""
MAX_POINTS = 40
"""Points a curve."""

KINDS = ("direction", "range", "kind", "rho")
"""Columns that tell rows of one step and layer apart: no curve mixes two of their values."""
FROM_SECOND = ("gradient_ics", "cross_layer")
"""Probes of what earlier layers do to a layer: the first layer has none before it."""
Curve = list[tuple[int, float]]
"""(step, value) pairs, in the order of the steps."""


HEADLINES = {
    "cross_layer": ("share", "lower"),
    "curvature": ("lambda_max", "eta_lambda_max", "lambda_min"),
    "descent_lemma": ("ratio", "eta_gradient_curvature", "realised"),
    "distribution_ics": ("w1", "w1_floor", "gaussian_w2"),
    "gradient_ics": ("relative", "cosine", "l2"),
    "landscape": ("effective_beta", "loss_range", "gradient_difference_max"),
    "moment_ics": ("mean_shift", "log_std_shift", "mean_drift"),
    "gradient_noise": ("relative", "cosine", "l2"),
    "scale_invariant": ("angular_update", "weight_squared_times_lambda", "effective_lr"),
    "sharpness": ("sharpness", "worst_loss"),
    "signal_propagation": ("stable_rank", "variance", "gradient_norm"),
    "batchnorm_theorems": ("gap_41", "gap_42", "scale"),
}
"""Of each probe, the columns that come first."""


def coarse_curves(result: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> dict[str, Curve]:
    """Curves by key: ``final/…`` (one point), ``training/…``, ``<probe>/…``.

    A probe's value at a step is reduced as in the report: the median over the layers of the first
    place, of those from the second on where the first has no shift, or that of the whole network,
    where the probe has one. Rows of different kinds, radii, ranges or directions are different
    curves: ``sharpness/sam_0.05/sharpness``. The keys that the summary and the training curves
    leave are shared by the probes, each giving its headlines, and then its other columns in order.
    """
    cost = {key: result["cost"][key] for key in ("seconds", "seconds_per_step")}
    final = {**result["summary"], **cost}
    curves = {f"final/{key}": [(0, float(v))] for key, v in final.items() if v is not None}
    training = tables["training"].to_pandas()
    columns = _columns("training", training)[: MAX_KEYS - len(curves)]
    curves |= _curves("training", training, columns)
    probes = [name for name in tables if name != "training"]
    share = (MAX_KEYS - len(curves)) // max(1, len(probes))
    for name in probes:
        rows = _headline_rows(name, tables[name].to_pandas())
        columns = _columns(name, rows)
        parts = [_curves(stem, part, columns) for stem, part in _parts(name, rows)]
        found = [
            (key, part[key])
            for keys in zip(*parts, strict=True)
            for key, part in zip(keys, parts, strict=True)
        ]
        curves |= dict(found[:share])
    return curves


def _parts(name: str, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each kind, and the stem of their keys."""
    kinds = [column for column in KINDS if column in frame]
    if not kinds:
        yield name, frame
        return
    for values, part in frame.groupby(kinds, sort=False, observed=True, dropna=False):
        words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        yield f"{name}/{'_'.join(words)}", part


def _headline_rows(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    if name in FROM_SECOND and "index" in frame:
        return frame[frame["index"] > 1]
    if "place" in frame:
        frame = frame[frame["place"] == frame["place"].iloc[0]]
    if "index" in frame and (frame["index"] == 0).any():
        frame = frame[frame["index"] == 0]
    return frame


def _columns(table_name: str, frame: pd.DataFrame) -> list[str]:
    """The numbers of a table, its headlines first."""
    apart = {"lr", *KINDS}
    floats = [name for name in frame.select_dtypes("float").columns if name not in apart]
    first = [name for name in HEADLINES.get(table_name, ()) if name in floats]
    return [*first, *(name for name in floats if name not in first)]


def _curves(stem: str, frame: pd.DataFrame, columns: list[str]) -> dict[str, Curve]:
    medians = frame.groupby("step")[columns].median()
    return {f"{stem}/{name}": _thinned(medians[name].to_numpy(), medians) for name in columns}


def _thinned(values: np.ndarray, frame: Any) -> Curve:
    """The finite points, at most so many, the last among them."""
    kept = np.flatnonzero(np.isfinite(values))
    stride = max(1, -(-len(kept) // (MAX_POINTS - 1)))
    chosen = sorted({*kept[::stride].tolist(), *kept[-1:].tolist()})
    steps = frame.index.to_numpy()
    return [(int(steps[i]), float(values[i])) for i in chosen]
