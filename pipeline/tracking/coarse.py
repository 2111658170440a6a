"""What MLflow gets of a cell's numbers: few keys, few points; the records themselves are files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

MAX_KEYS = 50
"""Metric keys a run: more make the MLflow UI slow."""
MAX_POINTS = 40
"""Points a curve."""

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

    A probe's value at a step is the mean over its rows of that step: of those of the first place,
    where it looks at several, or that of the whole network, where it has one. The keys that the
    summary and the training curves leave are shared by the probes, each giving its headlines, and
    then its other columns in order.
    """
    cost = {key: result["cost"][key] for key in ("seconds", "seconds_per_step")}
    final = {**result["summary"], **cost}
    curves = {f"final/{key}": [(0, float(v))] for key, v in final.items() if v is not None}
    curves |= _curves("training", tables["training"].to_pandas(), MAX_KEYS - len(curves))
    probes = [name for name in tables if name != "training"]
    share = (MAX_KEYS - len(curves)) // max(1, len(probes))
    for name in probes:
        curves |= _curves(name, _headline_rows(tables[name].to_pandas()), share)
    return curves


def _headline_rows(frame: pd.DataFrame) -> pd.DataFrame:
    if "place" in frame:
        frame = frame[frame["place"] == frame["place"].iloc[0]]
    if "index" in frame and (frame["index"] == 0).any():
        frame = frame[frame["index"] == 0]
    return frame


def _curves(table_name: str, frame: pd.DataFrame, most: int) -> dict[str, Curve]:
    floats = [name for name in frame.select_dtypes("float").columns if name != "lr"]
    first = [name for name in HEADLINES.get(table_name, ()) if name in floats]
    columns = [*first, *(name for name in floats if name not in first)][:most]
    means = frame.groupby("step")[columns].mean()
    return {f"{table_name}/{name}": _thinned(means[name].to_numpy(), means) for name in columns}


def _thinned(values: np.ndarray, frame: Any) -> Curve:
    """The finite points, at most so many, the last among them."""
    kept = np.flatnonzero(np.isfinite(values))
    stride = max(1, -(-len(kept) // (MAX_POINTS - 1)))
    chosen = sorted({*kept[::stride].tolist(), *kept[-1:].tolist()})
    steps = frame.index.to_numpy()
    return [(int(steps[i]), float(values[i])) for i in chosen]
