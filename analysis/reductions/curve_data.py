"""Each run's lines in the figures: one value a run and x, before runs are put together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.reductions.curve_specs import CURVES, Curve
from analysis.reductions.record_views import VIEWS

BINS = 100
"""Steps of a curve are averaged in at most so many bins: a panel cannot show more."""
QUANTILES = ("q05", "q25", "q50", "q75", "q95")
PLACES = (("early", 1 / 6), ("middle", 1 / 2), ("late", 5 / 6))
LANDSCAPE = (
    "loss",
    "loss_min",
    "loss_max",
    "gradient_difference_min",
    "gradient_difference_max",
    "effective_beta",
)
"""Columns of a landscape's figure."""


def reduce_records(
    records: Mapping[str, pd.DataFrame], runs: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """By name (``curves/CURVE``, ``fans``): the lines of some cells' records.

    Args:
        runs: a row a cell: cell_id, steps.
    """
    found = {f"curves/{curve.name}": _line(curve, records, runs) for curve in CURVES}
    found["fans"] = _fans(records)
    return {name: frame for name, frame in found.items() if frame is not None}


def _rows(records: Mapping[str, pd.DataFrame], table: str) -> pd.DataFrame:
    """A table's rows; of the moments those of what enters the nonlinearity."""
    frame = records.get(table, pd.DataFrame())
    return VIEWS[table].rows(frame) if table == "moment_ics" and len(frame) else frame


def _line(
    curve: Curve, records: Mapping[str, pd.DataFrame], runs: pd.DataFrame
) -> pd.DataFrame | None:
    frame = _rows(records, curve.table)
    needs = {"landscape": {"range", "direction"}}.get(curve.table, set())
    needs |= {"index", "layers"} if curve.over == "depth" else set()
    if not {curve.y, *needs} <= set(frame):
        return None
    if curve.table == "landscape":
        frame = frame[(frame["range"] == "lr") & (frame["direction"] == "gradient")]
    x, how = frame["step"], "median"
    if curve.over == "depth":
        x = frame["index"] / frame["layers"]
    elif curve.table == "training":
        x, how = _bins(frame, curve.y, runs), "mean"
    return _reduced(frame["cell_id"], x, _known(frame[curve.y], curve.log), how)


def _known(y: pd.Series, positive: bool) -> pd.Series:
    """Values that can be drawn; the others as missing."""
    y = y.astype(float)
    return y.where(np.isfinite(y) & ((y > 0) | (not positive)))


def _reduced(cell: pd.Series, x: pd.Series, y: pd.Series, how: str) -> pd.DataFrame:
    frame = pd.DataFrame({"cell_id": cell, "x": x, "y": y}).dropna(subset=["y"])
    return frame.groupby(["cell_id", "x"], observed=True)["y"].agg(how).reset_index()


def _bins(frame: pd.DataFrame, y: str, runs: pd.DataFrame) -> pd.Series:
    """The middles of the bins of steps; the steps themselves where there are few of them.

    The last step with a loss of its own is the one before the planned number, at which the trained
    network is evaluated.
    """
    planned = frame["cell_id"].map(runs.set_index("cell_id")["steps"]).astype(float)
    width = np.maximum(1, np.ceil((planned + (y != "train_loss")) / BINS))
    return (frame["step"] // width) * width + (width - 1) / 2


def _fans(records: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """Quantiles of the activations of an early, a middle and a late layer of each cell."""
    frame = _rows(records, "moment_ics")
    if not {"index", "layers", *QUANTILES} <= set(frame):
        return None
    names = ["cell_id", "step", "index", "layers", *QUANTILES]
    frame = frame.loc[np.isfinite(frame["q50"]), names]
    drawn = frame[["cell_id", "index"]].drop_duplicates()
    chosen = drawn.groupby("cell_id", observed=True)["index"].agg(
        lambda index: list(chosen_layers(index))
    )
    kept = pd.MultiIndex.from_frame(chosen.explode().reset_index())
    return frame[pd.MultiIndex.from_frame(frame[["cell_id", "index"]]).isin(kept)]


def chosen_layers(index: pd.Series) -> dict[int, str]:
    """Index of an early, a middle and a late layer (fewer where there are fewer), and its place."""
    known = sorted(set(index))
    return {known[int(share * (len(known) - 1) + 0.5)]: place for place, share in PLACES}
