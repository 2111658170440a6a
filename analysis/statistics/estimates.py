"""Arrays become estimates, intervals and tests. Knows no file, no frame and no plot.

Whatever draws takes an ``rng``. A quantity that the numbers given cannot support is NaN, never an
exception: what to say about it is the tables' business.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95
"""Confidence of every interval."""

RESAMPLES = 2000
EXACT_PAIRS = 15
"""Sign-flip tests enumerate all 2ⁿ patterns up to this n and draw 2¹⁴ of them above it: 3 learning
rates of 5 seeds are still exact."""

_FLIPS = 2**14

_SHUFFLES = 2**12

_BYTE = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
"""(256, 8): the signs that a byte stands for."""

Floats = NDArray[np.float64]
Weights = Callable[[int], Floats]


class Estimate(NamedTuple):
    """A number, its interval (NaN where there is none), and how many values it rests on."""

    estimate: float
    low: float
    high: float
    n: int


def iqm_weights(n: int) -> Floats:
    """Weights on n sorted values whose sum of products is the interquartile mean.

    Exactly n/4 of the mass is cut at each end, a value that straddles a cut counting by the part
    inside: w_i ∝ |[i, i+1] ∩ [n/4, 3n/4]|, i = 0…n−1. So n = 1 gives the value, n = 2 the mean, and
    n = 3 weighs (1, 4, 1)/6. Source: Agarwal et al., NeurIPS 2021, §4.3.
    """
    edges = np.clip(np.arange(n + 1, dtype=np.float64), n / 4, 3 * n / 4)
    return np.diff(edges) / (n / 2)


def mean_weights(n: int) -> Floats:
    """Weights of the arithmetic mean, 1/n each."""
    return np.full(n, 1 / n)


def median_weights(n: int) -> Floats:
    """Weights on n sorted values whose sum of products is the median."""
    ranks = np.arange(n)
    return ((ranks == (n - 1) // 2).astype(np.float64) + (ranks == n // 2)) / 2


def weighted(values: Floats, weights: Weights = iqm_weights) -> Floats:
    """The weighted mean of the order statistics along the last axis, whose length is at least 1."""
    return (np.sort(values, axis=-1) * weights(values.shape[-1])).sum(axis=-1)


def resample(strata: ArrayLike, rng: np.random.Generator, resamples: int = RESAMPLES) -> NDArray:
    """Bootstrap indices (resamples, n): position j is drawn from the values of j's own stratum.

    Source: Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 8; stratified as in
    Agarwal et al., NeurIPS 2021.
    """
    _, code = np.unique(np.asarray(strata), return_inverse=True)
    members = np.argsort(code, kind="stable")
    size = np.bincount(code)
    start = np.cumsum(size) - size
    drawn = (rng.random((resamples, len(code))) * size[code]).astype(np.int64)
    return members[start[code] + drawn]


def inflation(strata: ArrayLike) -> float:
    """√(N/(N−S)) · t(N−S)/z for N values in S strata; NaN if N = S.

    The first factor, √(n/(n−1)) with n values in each stratum, undoes the bootstrap's too small
    variance; the second, of t and normal quantiles at the interval's level, pays for having
    estimated it, and is near 1 from about 20 degrees of freedom N−S on. With both, intervals of
    normal data cover 92–97 %; with the first alone 80 % at 3 values in 1 stratum, 91 % at 3 in 4.
    Source: Hesterberg, *What teachers should know about the bootstrap*, Am. Statistician 2015.
    """
    free = len(np.asarray(strata)) - len(np.unique(np.asarray(strata)))
    if free == 0:
        return math.nan
    tail = (1 + LEVEL) / 2
    return math.sqrt(1 + len(np.unique(np.asarray(strata))) / free) * float(
        stats.t.ppf(tail, free) / stats.norm.ppf(tail)
    )


def widened(estimate: Floats, draws: Floats, factor: float) -> tuple[Floats, Floats]:
    """Percentile limits of ``draws`` (resamples along axis 0), half-widths times ``factor``.

    A half-width is at least 0, so that the interval holds the estimate of a biased statistic too.
    """
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    below, above = np.maximum(estimate - low, 0), np.maximum(high - estimate, 0)
    return estimate - factor * below, estimate + factor * above


def interval(
    values: ArrayLike,
    strata: ArrayLike,
    rng: np.random.Generator,
    weights: Weights = iqm_weights,
) -> Estimate:
    """Interquartile (or other weighted) mean of finite values, stratified bootstrap interval.

    Args:
        values: (n,), one per run.
        strata: (n,) labels; runs are resampled within their stratum.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    center, factor = weighted(values, weights), inflation(strata)
    if math.isnan(factor):
        return Estimate(float(center), math.nan, math.nan, len(values))
    low, high = widened(center, weighted(values[resample(strata, rng)], weights), factor)
    return Estimate(float(center), float(low), float(high), len(values))


def wilson(events: int, n: int) -> Estimate:
    """Rate events/n with Wilson's score interval, (p̂ + z²/2n ± z√(p̂(1−p̂)/n + z²/4n²))/(1 + z²/n).

    Source: Wilson, JASA 1927.
    """
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    low, high = stats.binomtest(events, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(events / n, float(low), float(high), n)


def restricted(times: ArrayLike, horizon: ArrayLike, diverged: ArrayLike) -> Floats:
    """min(time, horizon), and the horizon where the event never came (NaN) or the run diverged.

    The mean of these is the restricted mean time. A run that reached its target and then diverged
    counts as one that never did. Source: Royston & Parmar, Statistics in Medicine 2011.
    """
    times, horizon = np.asarray(times, np.float64), np.asarray(horizon, np.float64)
    return np.where(np.asarray(diverged, bool), horizon, np.fmin(times, horizon))


def hodges_lehmann(differences: ArrayLike) -> Estimate:
    """Median of the Walsh averages (d_i + d_j)/2, i ≤ j; interval: the c-th smallest and largest.

    c is the largest with 2·P(W⁺ < c) ≤ 1 − level under the exact null distribution of Wilcoxon's
    signed-rank statistic; no such c exists below n = 6, and the interval is NaN. A difference that
    is not finite makes all of it NaN.
    Source: Hodges & Lehmann, Ann. Math. Stat. 1963; Hollander & Wolfe, ch. 3.
    """
    d = np.asarray(differences, np.float64)
    if len(d) == 0 or not np.isfinite(d).all():
        return Estimate(math.nan, math.nan, math.nan, len(d))
    rows, columns = np.triu_indices(len(d))
    walsh = np.sort((d[rows] + d[columns]) / 2)
    center, c = float(np.median(walsh)), _walsh_rank(len(d))
    if c == 0:
        return Estimate(center, math.nan, math.nan, len(d))
    return Estimate(center, float(walsh[c - 1]), float(walsh[-c]), len(d))


@lru_cache(maxsize=256)
def _walsh_rank(n: int) -> int:
    """c of `hodges_lehmann`, from the distribution of Σ i·b_i over fair coins b_1…b_n."""
    chance = np.zeros(n * (n + 1) // 2 + 1)
    chance[0] = 1.0
    for rank in range(1, n + 1):
        moved = np.concatenate([np.zeros(rank), chance[:-rank]])
        chance = (chance + moved) / 2
    return int(np.searchsorted(np.cumsum(chance), (1 - LEVEL) / 2, side="right"))


def sign_flip(differences: ArrayLike, blocks: ArrayLike, rng: np.random.Generator) -> float:
    """Two-sided p of "paired differences are symmetric about 0", by flipping the signs of pairs.

    Statistic: |mean over blocks of the block's mean difference|; more pairs give no more weight.
    All patterns up to n = `EXACT_PAIRS`, the half of them with the last sign up, for the other half
    gives the same sums; else (1 + hits)/(1 + 2¹⁴) of random ones. NaN without pairs, and where a
    difference is not finite.
    Source: Fisher, *The Design of Experiments*, 1935, §21; Phipson & Smyth 2010 for the 1 + hits.
    """
    d = np.asarray(differences, np.float64)
    if len(d) == 0 or not np.isfinite(d).all():
        return math.nan
    _, code = np.unique(np.asarray(blocks), return_inverse=True)
    size = np.bincount(code)
    shares = d / (size[code] * len(size))
    exact = len(d) <= EXACT_PAIRS
    sums = _patterns(len(d)) @ shares if exact else _drawn_sums(shares, rng)
    margin = 1e-9 * np.abs(shares).sum()  # equal sums in another order are equal
    hits = int(np.count_nonzero(np.abs(sums) >= abs(shares.sum()) - margin))
    return hits / len(sums) if exact else (1 + hits) / (1 + len(sums))


@lru_cache(maxsize=EXACT_PAIRS)
def _patterns(n: int) -> Floats:
    bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)
    return 1.0 - 2.0 * (bits & 1)


def _drawn_sums(shares: Floats, rng: np.random.Generator) -> Floats:
    """Sums of the shares under random signs; eight at a time, whose 2⁸ sums are looked up."""
    eights = np.pad(shares, (0, -len(shares) % 8)).reshape(-1, 8)
    signs = np.ascontiguousarray(rng.integers(256, size=(_FLIPS, len(eights)), dtype=np.uint8).T)
    sums = np.zeros(_FLIPS)
    for each, sign in zip(eights @ _BYTE.T, signs, strict=True):
        sums += each[sign]
    return sums


def apart(one: Estimate, two: Estimate) -> Estimate:
    """Difference of two independent estimates, its limits from theirs; n counts both.

    low = d − √((e₁−l₁)² + (u₂−e₂)²), high = d + √((u₁−e₁)² + (e₂−l₂)²), d = e₁ − e₂: of Wilson's
    intervals this is Newcombe's. Source: Zou & Donner, Statistics in Medicine 2008.
    """
    d = one.estimate - two.estimate
    low = d - math.hypot(one.estimate - one.low, two.high - two.estimate)
    high = d + math.hypot(one.high - one.estimate, two.estimate - two.low)
    return Estimate(d, low, high, one.n + two.n)


def shift(
    one: Floats, one_strata: NDArray, two: Floats, two_strata: NDArray, rng: np.random.Generator
) -> Estimate:
    """Difference of two independent interquartile means; `interval`'s bootstrap of both at once.

    Each sample is resampled within its own strata, and the widening is `inflation`'s over all of
    them. NaN limits where every stratum has one value.
    """
    center = weighted(one) - weighted(two)
    _, one_code = np.unique(one_strata, return_inverse=True)
    _, two_code = np.unique(two_strata, return_inverse=True)
    factor = inflation(np.concatenate([one_code, -1 - two_code]))
    if math.isnan(factor):
        return Estimate(float(center), math.nan, math.nan, len(one) + len(two))
    draws = weighted(one[resample(one_code, rng)]) - weighted(two[resample(two_code, rng)])
    low, high = widened(center, draws, factor)
    return Estimate(float(center), float(low), float(high), len(one) + len(two))


def shuffled(
    one: Floats, one_strata: NDArray, two: Floats, two_strata: NDArray, rng: np.random.Generator
) -> tuple[float, float]:
    """Two-sided p of "both come from one distribution", shuffling values within their stratum.

    Statistic: |mean over strata of the difference of the two means|; (1 + hits)/(1 + 2¹²) of random
    shuffles. Both must have values in the same strata.

    Returns:
        p, and the smallest that so few values could give: 1 over the number of ways to deal them
        (2 over it where each stratum deals as many to one as to two). NaN where a value is not
        finite.
    """
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        return math.nan, math.nan
    total, shuffles, ways, even = 0.0, np.zeros(_SHUFFLES), 1, True
    for stratum in np.unique(one_strata):
        pool = np.concatenate([one[one_strata == stratum], two[two_strata == stratum]])
        n = int(np.count_nonzero(one_strata == stratum))
        order = rng.permuted(np.tile(np.arange(len(pool)), (_SHUFFLES, 1)), axis=1)
        total += pool[:n].mean() - pool[n:].mean()
        shuffles += pool[order[:, :n]].mean(axis=1) - pool[order[:, n:]].mean(axis=1)
        ways, even = ways * math.comb(len(pool), n), even and 2 * n == len(pool)
    margin = 1e-9 * (np.abs(one).sum() + np.abs(two).sum())  # equal sums in another order are equal
    hits = int(np.count_nonzero(np.abs(shuffles) >= abs(total) - margin))
    return (1 + hits) / (1 + _SHUFFLES), max((2 if even else 1) / ways, 1 / (1 + _SHUFFLES))


def smallest_p(n: int) -> float:
    """The smallest p that `sign_flip` can give with n pairs that all differ: 2/2ⁿ if exact."""
    return min(1.0, 2 / 2**n) if n <= EXACT_PAIRS else 1 / (1 + _FLIPS)


def holm(p: ArrayLike) -> Floats:
    """Holm's adjusted p: max over j ≤ i of min(1, (m − j + 1)·p_(j)); NaN stays and counts not.

    Source: Holm, Scand. J. Statistics 1979.
    """
    p = np.asarray(p, np.float64)
    adjusted = np.full(p.shape, math.nan)
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]
    stepped = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1) if len(order) else stepped
    return adjusted
