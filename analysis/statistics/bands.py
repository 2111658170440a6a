"""Curves over runs with the tables' intervals: what the figures draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.statistics import estimates
from pipeline.seeds import derive

RESAMPLES = 400
"""Fewer than in the tables: a band is looked at, not read off."""

_AT_ONCE = 4_000_000
"""Resampled values held in memory at once."""

STRATA = ["data", "architecture", "normalizer", "training", "lr"]


def band(frame: pd.DataFrame, by: Sequence[str], x: str, y: str, seed: int = 0) -> pd.DataFrame:
    """Interquartile mean of ``y`` over runs at each ``x``, with a pointwise 95 % interval.

    The interval is the tables': a stratified bootstrap, its half-widths times `stats.inflation`.
    Whole curves are resampled, within what they share of data, architecture, normalizer, training
    and learning rate. Rows of one run at one x (its layers, say) are averaged first; values that
    are not finite are left out.

    Args:
        frame: rows with ``cell_id``, the label columns, ``x`` and ``y``, such as `Study.records`.
        by: columns that make a curve.

    Returns:
        Columns ``by``, x, center, low, high (NaN where no stratum has two runs) and n (runs).
    """
    by = list(by)
    known = frame[np.isfinite(frame[y].astype(float))]
    strata = [name for name in STRATA if name in frame and name not in (*by, x)]
    means = known.groupby([*by, *strata, "cell_id", x], observed=True)[y].mean().reset_index()
    curves = means.groupby(by, observed=True) if by else [((), means)]
    parts = [_curve(rows, by, strata, x, y, seed) for _, rows in curves]
    empty = known[[*by, x]].iloc[:0].assign(center=0.0, low=0.0, high=0.0, n=0)
    return pd.concat(parts, ignore_index=True) if parts else empty


def _curve(
    rows: pd.DataFrame, by: list[str], strata: list[str], x: str, y: str, seed: int
) -> pd.DataFrame:
    """One curve: the xs where the same runs are known are done together."""
    wide = rows.pivot(index=[*strata, "cell_id"], columns=x, values=y)
    labels = wide.index.to_frame(index=False)[strata].assign(all=0)
    stratum = labels.groupby([*strata, "all"], observed=True).ngroup().to_numpy()
    values = wide.to_numpy().T
    patterns, which = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    found = np.empty((len(values), 4))
    key = [str(value) for value in rows[by].iloc[0]]
    for i, present in enumerate(patterns):
        rng = np.random.default_rng(derive(seed, "band", *key, y, i))
        at = np.flatnonzero(which.ravel() == i)
        found[at] = _points(values[np.ix_(at, np.flatnonzero(present))], stratum[present], rng)
    out = pd.DataFrame(found, columns=["center", "low", "high", "n"]).astype({"n": int})
    out.insert(0, x, wide.columns.to_numpy())
    for place, name in enumerate(by):
        out.insert(place, name, rows[name].iloc[0])
    return out


def _points(values: np.ndarray, stratum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(points, 4): center, low, high, n for values (points, runs)."""
    center, factor = estimates.weighted(values), estimates.inflation(stratum)
    low = high = np.full(len(values), np.nan)
    if np.isfinite(factor):
        drawn = estimates.resample(stratum, rng, RESAMPLES)
        parts = np.array_split(values, 1 + values.shape[0] * drawn.size // _AT_ONCE)
        draws = [estimates.weighted(part[:, drawn]).T for part in parts]
        low, high = estimates.widened(center, np.concatenate(draws, axis=1), factor)
    return np.column_stack([center, low, high, np.full(len(values), values.shape[1])])
