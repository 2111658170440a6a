"""Whether two quantities rank the same things alike, within environments that hold all else fixed.

Arrays in, numbers out. Rows are environments, columns are what is ranked (normalizers); NaN where
a value is not known. A pair of columns counts in an environment where all four values are known.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analysis.statistics.estimates import LEVEL, Floats

ALPHA = 0.05
EXACT = 6
"""Permutation tests enumerate all orders of up to so many columns, and draw `DRAWN` above it."""
DRAWN = 999


class Psi(NamedTuple):
    """Granulated Kendall ψ of ``n`` columns, its interval, and its permutation test.

    Attributes:
        p: one-sided, of "ψ ≤ 0". p_below: of "ψ ≥ 0". detectable: the smallest ψ with p ≤ α.
    """

    estimate: float
    low: float
    high: float
    n: int
    p: float
    p_below: float
    detectable: float


NO_PSI = Psi(math.nan, math.nan, math.nan, 0, math.nan, math.nan, math.nan)


def psi(one: ArrayLike, two: ArrayLike, rng: np.random.Generator, alpha: float = ALPHA) -> Psi:
    """ψ = mean over environments of Kendall's τ_b between two quantities, (environments, columns).

    Interval: delete-one-column jackknife, ψ ± t(k−1)·s, for the columns are what could have been
    others; environments that share columns are not independent. p: the columns of one quantity
    are permuted, by the same order in all environments. ``alpha``: level at which ψ must be told
    from none to be detectable. Cost: environments × columns⁴.
    Source: Jiang et al., *Fantastic Generalization Measures*, ICLR 2020, §3.3 (ψ); Arvesen, Ann.
    Math. Stat. 1969 (jackknife of U-statistics).
    """
    a, b = _signs(one), _signs(two)
    center = _mean_tau(a, b)
    if math.isnan(center):
        return NO_PSI
    pairs = (np.isfinite(a) & np.isfinite(b)) & ~np.eye(a.shape[1], dtype=bool)
    used = np.flatnonzero(pairs.any(axis=(0, 2)))
    a, b = (signs[:, used][:, :, used] for signs in (a, b))
    half = _jackknife(a, b)
    null = _permuted(a, b, _orders(len(used), rng))
    above, below = float((null >= center - 1e-6).mean()), float((null <= center + 1e-6).mean())
    low, high = max(center - half, -1.0), min(center + half, 1.0)
    return Psi(center, low, high, len(used), above, below, _detectable(null, alpha))


def _signs(values: ArrayLike) -> NDArray[np.float32]:
    """(environments, k, k): sign of column i minus column j; 0 where equal, NaN where unknown."""
    v = np.asarray(values, np.float64)
    v = np.where(np.isfinite(v), v, np.nan)
    return np.sign(v[:, :, None] - v[:, None, :]).astype(np.float32)


def _sums(a: NDArray, b: NDArray) -> NDArray:
    """(3, environments, k): for each column, concordant − discordant, untied in a, untied in b."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(known, a, 0), np.where(known, b, 0)
    return np.stack([(a * b).sum(axis=2), (a * a).sum(axis=2), (b * b).sum(axis=2)])


def _tau(sums: NDArray) -> NDArray:
    """τ_b of each environment from (3, …) sums over its pairs; NaN where one side is all ties."""
    sums = sums.astype(np.float64)
    scale = np.sqrt(sums[1] * sums[2])
    return np.divide(sums[0], scale, out=np.full(scale.shape, np.nan), where=scale > 0)


def _mean_tau(a: NDArray, b: NDArray) -> float:
    return _mean(_tau(_sums(a, b).sum(axis=2)))


def _mean(values: NDArray) -> float:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 12) if len(known) else math.nan  # a sum of zero is zero


def _jackknife(a: NDArray, b: NDArray) -> float:
    """Half-width of the interval; infinite below three columns."""
    sums, k = _sums(a, b), a.shape[1]
    without = _tau(sums.sum(axis=2)[:, :, None] - 2 * sums)
    left = np.array([_mean(without[:, i]) for i in range(k)])
    left = left[np.isfinite(left)]
    if len(left) < 3:
        return math.inf
    error = math.sqrt((len(left) - 1) * left.var())
    return error * float(stats.t.ppf((1 + LEVEL) / 2, len(left) - 1))


def _permuted(a: NDArray, b: NDArray, orders: NDArray) -> Floats:
    """ψ with the columns of b in each of the orders; the first order is the given one.

    All orders share Σ_e a_e⊗b_e, (k², k²), and so the work over environments. A pair that an order
    brings together with an unknown or tied one drops out; the rest is scaled up to make up for it.
    """
    known = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(known, a, 0), np.where(known, b, 0)
    scale = np.sqrt(np.abs(a).sum(axis=(1, 2)) * np.abs(b).sum(axis=(1, 2)))
    a, b, scale = a[scale > 0], b[scale > 0], scale[scale > 0]
    k = a.shape[1]
    flat_a, flat_b = a.reshape(-1, k * k) / scale[:, None] / len(scale), b.reshape(-1, k * k)
    moved = (orders[:, :, None] * k + orders[:, None, :]).reshape(len(orders), -1)
    places = np.arange(k * k)
    signed = (flat_a.T @ flat_b)[places, moved].sum(axis=1)
    weight = (np.abs(flat_a).T @ np.abs(flat_b))[places, moved].sum(axis=1)
    return np.divide(signed * weight[0], weight, out=np.zeros(len(orders)), where=weight > 0)


def _orders(k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Orders of k columns, the given one among them."""
    if k <= EXACT:
        return np.array(list(itertools.permutations(range(k))))
    drawn = rng.permuted(np.tile(np.arange(k), (DRAWN, 1)), axis=1)
    return np.vstack([np.arange(k), drawn])


def _detectable(null: Floats, alpha: float) -> float:
    """The smallest value that at most a share ``alpha`` of the null reach; NaN if there is none."""
    values, counts = np.unique(null.round(9), return_counts=True)
    reached = np.cumsum(counts[::-1])[::-1] / len(null)
    return float(values[reached <= alpha].min()) if (reached <= alpha).any() else math.nan


def sign_errors(one: ArrayLike, two: ArrayLike, groups: ArrayLike) -> dict[object, float]:
    """By group of environments, the share of pairs that the two quantities order differently.

    Pairs that differ in ``two``; those tied in ``one`` count half. A group without one is left out.
    Source: Dziugaite et al., *In Search of Robust Measures of Generalization*, NeurIPS 2020.
    """
    a, b, labels = _signs(one), _signs(two), np.asarray(groups)
    counted = np.isfinite(a) & (np.nan_to_num(b) != 0)
    wrong = np.where(counted, (1 - a * b) / 2, 0)
    pairs, errors = counted.sum(axis=(1, 2)), wrong.sum(axis=(1, 2))
    found = {}
    for label in np.unique(labels):
        own = labels == label
        if pairs[own].sum():
            found[label] = float(errors[own].sum() / pairs[own].sum())
    return found


def overall(one: ArrayLike, two: ArrayLike) -> tuple[float, int]:
    """Kendall's τ_b over all values at once, nothing held fixed; and how many there are."""
    a, b = np.ravel(np.asarray(one, np.float64)), np.ravel(np.asarray(two, np.float64))
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 2 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return math.nan, int(known.sum())
    return float(np.asarray(stats.kendalltau(a[known], b[known]))[0]), int(known.sum())
