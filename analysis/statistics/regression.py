"""Straight lines: what a measure adds to a prediction, and slopes with intervals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analysis.statistics.estimates import LEVEL, Estimate, Floats


def added_r2(y: ArrayLike, base: ArrayLike, extra: ArrayLike, groups: ArrayLike) -> float:
    """R² with ``extra`` minus R² without it, each predicting a group from the other groups.

    All variables are centred within their group (that is the group's own intercept), the line is
    fitted on the other groups and predicts the one left out; R² = 1 − Σ(y−ŷ)²/Σy² over all of
    them. NaN below two groups, or with fewer rows than twice the coefficients.

    Args:
        y: (n,). base: (n, p). extra: (n,). groups: (n,) labels. NaN rows are left out.
    """
    table = np.column_stack([np.asarray(y, float), np.asarray(extra, float), np.asarray(base)])
    labels = np.asarray(groups)
    known = np.isfinite(table).all(axis=1)
    table, labels = table[known], labels[known]
    if len(np.unique(labels)) < 2 or len(table) < 2 * table.shape[1]:
        return math.nan
    table = _centred(table, labels)
    total = (table[:, 0] ** 2).sum()
    if total == 0:
        return math.nan
    without, with_it = (
        _missed(table[:, used], labels) for used in (_but_extra(table), slice(None))
    )
    return float((without - with_it) / total)


def _but_extra(table: NDArray) -> NDArray[np.int64]:
    return np.delete(np.arange(table.shape[1]), 1)


def _missed(table: Floats, labels: NDArray) -> float:
    """Σ(y−ŷ)² over groups, each predicted from the others; y is the first column."""
    errors = 0.0
    for label in np.unique(labels):
        out = labels == label
        line, *_ = np.linalg.lstsq(table[~out, 1:], table[~out, 0], rcond=None)
        errors += float(((table[out, 0] - table[out, 1:] @ line) ** 2).sum())
    return errors


def _centred(table: Floats, labels: NDArray) -> Floats:
    centred = table.copy()
    for label in np.unique(labels):
        centred[labels == label] -= table[labels == label].mean(axis=0)
    return centred


def slope(x: ArrayLike, y: ArrayLike, groups: ArrayLike) -> Estimate:
    """Least-squares slope of y on x within groups, Student's interval on n − groups − 1 degrees.

    NaN where x does not vary or no degree of freedom is left.
    """
    table, labels = (
        np.column_stack([np.asarray(x, float), np.asarray(y, float)]),
        np.asarray(groups),
    )
    known = np.isfinite(table).all(axis=1)
    table, labels = table[known], labels[known]
    table = _centred(table, labels)
    free = len(table) - len(np.unique(labels)) - 1
    spread = float((table[:, 0] ** 2).sum())
    if free < 1 or spread < 1e-12:
        return Estimate(math.nan, math.nan, math.nan, len(table))
    found = float(table[:, 0] @ table[:, 1]) / spread
    left = table[:, 1] - found * table[:, 0]
    half = math.sqrt(float(left @ left) / free / spread) * stats.t.ppf((1 + LEVEL) / 2, free)
    return Estimate(found, found - float(half), found + float(half), len(table))
