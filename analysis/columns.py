"""How a column of a table is filled: which runs, which estimate, what is said beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import contrasts, stats
from analysis.measures import Measure
from analysis.outcomes import ROW, spread_over_lr, stable_lr
from analysis.reduce import BLOCK
from analysis.stats import Estimate
from pipeline.seeds import derive

Estimator = Callable[[pd.DataFrame, "Column", np.random.Generator], Estimate]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A measure, and how its cells are made of runs."""

    measure: Measure
    value: str
    """The column of the runs that is measured."""
    runs: pd.DataFrame
    """The runs that count: all, or each seed's at a chosen learning rate."""
    pair: tuple[str, ...] = ("lr", "seed")
    """What pairs the runs of two normalizers within a block; without "lr" the runs of a row are one
    stratum. Empty: nothing is paired."""
    estimator: Estimator
    note: Callable[[pd.DataFrame, Column], list[str]]


def interquartile(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """Interquartile mean over runs, resampled within learning rates."""
    return stats.interval(rows[column.value], _strata(rows, column), rng)


def mean(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """Arithmetic mean over runs: of restricted times, the restricted mean."""
    return stats.interval(rows[column.value], _strata(rows, column), rng, stats.mean_weights)


def rate(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """Per cent of runs for which the value is true."""
    estimate = stats.wilson(int(rows[column.value].sum()), len(rows))
    return Estimate(*(100 * number for number in estimate[:3]), estimate.n)


def largest_stable(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """The largest learning rate without a divergence; it has no interval."""
    return Estimate(stable_lr(rows) if len(rows) else np.nan, np.nan, np.nan, len(rows))


def spread(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """Largest minus smallest mean over learning rates."""
    return spread_over_lr(rows, column.value, rng)


def ratio(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """A placeholder for the effect against the reference, which `cells` puts in its place."""
    return Estimate(np.nan, np.nan, np.nan, len(rows))


def _strata(rows: pd.DataFrame, column: Column) -> np.ndarray:
    return rows["lr"].to_numpy() if "lr" in column.pair else np.zeros(len(rows))
