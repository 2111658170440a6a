"""One measure of one row of a table, in two sweeps: how much it changed, and whether it did."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from analysis.statistics import Estimate, estimates
from analysis.tables import ALPHA, Column, contrasts

FEWEST_PAIRS = 2


class Change(NamedTuple):
    """This sweep over, or minus, the other: interval, test, and what both rest on."""

    estimate: float
    low: float
    high: float
    n: int
    p: float
    testable: bool
    """Whether a test of so few runs could ever reject."""
    basis: str


NOTHING = Change(np.nan, np.nan, np.nan, 0, np.nan, False, "not estimable: not known on both sides")


def change(
    column: Column, here: pd.DataFrame, there: pd.DataFrame, rng: np.random.Generator
) -> Change:
    """Compare the runs of a row in two sweeps.

    A ratio for measures that are positive, a difference otherwise. Paired where both sweeps have
    two or more of its cells (same labels): interquartile mean of the pairs' (log-)differences,
    stratified bootstrap interval, sign-flip test. Else unpaired, over the learning rates that both
    have: `stats.shift` and `stats.shuffled`. Divergence rates: `stats.apart` of Wilson's intervals,
    Fisher's exact test.
    """
    if here.empty or there.empty:
        return NOTHING
    if not column.pair:
        return _rates(here[column.value], there[column.value])
    rows = pd.concat([here.assign(normalizer="here"), there.assign(normalizer="there")])
    wide = contrasts.paired(rows, column.value, column.pair)
    pairs, strata = contrasts.differences(wide, "here", "there", column.measure)
    if len(pairs) >= FEWEST_PAIRS:
        found = _paired(pairs, strata, rng)
    else:
        found = _unpaired(column, here, there, rng)
    return _from_logs(found) if column.measure.contrast == "ratio" else found


def _paired(pairs: np.ndarray, strata: np.ndarray, rng: np.random.Generator) -> Change:
    estimate = estimates.interval(pairs, strata, rng)
    p = estimates.sign_flip(pairs, strata, rng)
    testable = estimates.smallest_p(len(pairs)) <= ALPHA
    return Change(*estimate, p, testable, f"{len(pairs)} pairs")


def _unpaired(
    column: Column, here: pd.DataFrame, there: pd.DataFrame, rng: np.random.Generator
) -> Change:
    (one, at), (two, to) = _values(column, here), _values(column, there)
    one_shared, two_shared = np.isin(at, to), np.isin(to, at)
    one, at, two, to = one[one_shared], at[one_shared], two[two_shared], to[two_shared]
    if not len(one):
        return NOTHING
    estimate = estimates.shift(one, at, two, to, rng)
    p, least = estimates.shuffled(one, at, two, to, rng)
    return Change(*estimate, p, least <= ALPHA, f"unpaired, {len(one)} and {len(two)} runs")


def _values(column: Column, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Finite values (logs, for a ratio) and the stratum of each."""
    values = rows[column.value].to_numpy(float)
    if column.measure.contrast == "ratio":
        values = np.log(np.where(values > 0, values, np.nan))
    strata = rows["lr"].to_numpy(float) if "lr" in column.pair else np.zeros(len(rows))
    known = np.isfinite(values)
    return values[known], strata[known]


def _rates(here: pd.Series, there: pd.Series) -> Change:
    """Difference of two rates, in points."""
    events, sizes = (int(here.sum()), int(there.sum())), (len(here), len(there))
    one, two = (estimates.wilson(k, n) for k, n in zip(events, sizes, strict=True))
    estimate, low, high, n = estimates.apart(one, two)
    counts = [[k, n - k] for k, n in zip(events, sizes, strict=True)]
    p = _fisher(counts)
    least = _fisher([[sizes[0], 0], [0, sizes[1]]])
    basis = f"unpaired, {events[0]}/{sizes[0]} and {events[1]}/{sizes[1]}"
    return Change(100 * estimate, 100 * low, 100 * high, n, p, least <= ALPHA, basis)


def _fisher(counts: list[list[int]]) -> float:
    return float(np.asarray(scipy_stats.fisher_exact(counts), float)[1])


def _from_logs(found: Change) -> Change:
    center, low, high = np.exp(Estimate(*found[:4])[:3]).tolist()
    return found._replace(estimate=center, low=low, high=high)
