"""Intervals of several small groups at once, which share what they know of the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.statistics.estimates import Estimate, Floats

LEAST_FREE = 2
"""Degrees of freedom of a standard deviation below which it gives no interval: with one, Student's
quantiles are in the tens."""


def simultaneous(groups: Sequence[ArrayLike], tail: float) -> list[Estimate]:
    """Each group's mean of paired differences, with an interval that misses by ``tail`` each side.

    Interval: d̄_i ± t(N−S)·σ_i/√n_i, σ_i the larger of the group's own standard deviation and the
    one pooled over all groups, s² = Σ_i Σ_j (d_ij − d̄_i)²/(N−S), for N differences in S groups. A
    few seeds at a few learning rates know s far better than each rate's own; where a rate scatters
    more than the others its own counts. NaN limits below `LEAST_FREE` degrees of freedom, NaN
    where a group has no difference. Source: Scheffé, *The Analysis of Variance*, 1959, ch. 3
    (pooled within-group variance); Bonferroni's correction is the caller's, by ``tail``.

    Args:
        groups: finite differences of each group.
        tail: chance that a limit is on the wrong side of the truth, of one group.
    """
    each = [np.asarray(group, np.float64) for group in groups]
    free = sum(max(len(d) - 1, 0) for d in each)
    spread = sum(float(((d - d.mean()) ** 2).sum()) for d in each if len(d))
    pooled = spread / free if free else math.nan
    factor = float(stats.t.isf(tail, free)) if free >= LEAST_FREE else math.nan
    return [_around_mean(d, pooled, factor) for d in each]


def _around_mean(d: Floats, pooled: float, factor: float) -> Estimate:
    if not len(d):
        return Estimate(math.nan, math.nan, math.nan, 0)
    own = float(d.var(ddof=1)) if len(d) > 1 else 0.0
    center, half = float(d.mean()), factor * math.sqrt(max(own, pooled) / len(d))
    return Estimate(center, center - half, center + half, len(d))
