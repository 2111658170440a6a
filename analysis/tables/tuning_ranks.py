"""In which order normalizers come, so that a divergence never improves a place.

For a given target, a diverged run is as bad as a run can be, so each number ranked here gets worse
or stays if a run of its normalizer had diverged instead, and no other normalizer's gets worse:

- *its best rate* is the best of the means over seeds at each learning rate;
- *the better of two rates*, *the average rate* weigh these means in their order, or equally;
- *one rate for all*: the place among the normalizers at a rate, averaged over the rates.

Why not the tables' estimates, at a rate chosen on other seeds: what chooses is then not what is
ranked, and a divergence can move the choice to a rate that happens to rank better. Any summary that
is the mean where there is one rate, does not count a rate at which every run diverged, and never
gains by a divergence is at least the best rate's mean. So ranks use just that, and estimates,
which must not be chosen by what they report, do not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.reductions import BLOCK
from analysis.tables.outcomes import ROW

VIEWS = ("tuned", "of_two", "averaged", "shared")
OUTCOMES = ("time", "accuracy")


def ranked(runs: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """By row (`ROW`): the number that each of `VIEWS` ranks by, smaller is better.

    NaN where no run of the row has the outcome. Cost: one pass over the runs.

    Args:
        runs: of `outcomes.outcomes`. outcome: ``time``, or ``accuracy`` (ranked by its negative;
            chance where it is below it, or the run is stuck, as a diverged run's is).
    """
    right = runs["accuracy"].mask(runs["stuck"].astype(bool), runs["chance"])
    cost = runs["time"] if outcome == "time" else -right.clip(lower=runs["chance"])
    means = cost.groupby([*(runs[name] for name in ROW), runs["lr"]]).mean().unstack("lr")
    places = means.groupby(level=BLOCK).rank(method="min")
    found = {
        "tuned": means.min(axis=1),
        "of_two": pd.Series(_better_of_two(means.to_numpy(float)), means.index),
        "averaged": means.mean(axis=1),
        "shared": places.mean(axis=1),
    }
    return pd.DataFrame(found)


def _better_of_two(means: np.ndarray) -> np.ndarray:
    """Along the last axis, the expected smaller one of two random known values; a lone one itself.

    Of n in order, the i-th is the smaller of a pair with probability 2(n−i)/(n(n−1)).
    """
    n = np.isfinite(means).sum(axis=-1, keepdims=True)
    rank = np.arange(1, means.shape[-1] + 1)
    share = 2 * np.maximum(n - rank, 0) / np.maximum(n * (n - 1), 1)
    share = np.where(n == 1, rank == 1, share)
    ordered = np.where(rank <= n, np.sort(means, axis=-1), 0.0)
    return np.where(n[..., 0] > 0, (share * ordered).sum(axis=-1), np.nan)


def places(runs: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """By row: its place in its block under each of `VIEWS`, 1 is best; ties share the better."""
    return ranked(runs, outcome).round(12).groupby(level=BLOCK).rank(method="min")
