"""Whether two quantities rank the same things alike, within environments that hold all else fixed.

Arrays in, numbers out. Rows are environments, columns are what is ranked (normalizers); NaN where
a value is not known. A pair of columns counts in an environment where all four values are known.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analysis.statistics.estimates import LEVEL, Floats

ALPHA = 0.05
EXACT = 6
"""Permutation tests enumerate all orders if they are no more than those of so many columns; else
they draw `DRAWN` of them."""
DRAWN = 999
_SAME = 1e-9
"""Values of ψ no further apart are one value: they differ by rounding."""


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
    are permuted, by the same order in all environments, and ψ is computed anew over the pairs that
    are then known. Only columns that lack the same environments change places, so that the test is
    exact where values are missing, too: where one quantity lacks nothing, all its columns do.
    ``alpha``: level at which ψ must differ from zero to be detectable.
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
    fixed, moved = sorted((a, b), key=lambda signs: _count(_alike(signs)))
    null = _permuted(fixed, moved, _orders(_alike(moved), rng))
    above, below = float((null >= center - _SAME).mean()), float((null <= center + _SAME).mean())
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

    Environments that lack nothing share Σ_e a_e⊗b_e, (k², k²), and so their work: their scales are
    the same in every order. In the others the pairs that are known depend on the order.
    """
    k = a.shape[1]
    moved = (orders[:, :, None] * k + orders[:, None, :]).reshape(len(orders), -1)
    known = [np.isfinite(each).reshape(-1, k * k) for each in (a, b)]
    flat = [np.nan_to_num(each).astype(np.float64).reshape(-1, k * k) for each in (a, b)]
    whole = known[0].all(axis=1) & known[1].all(axis=1)
    total, count = _permuted_whole(flat[0][whole], flat[1][whole], moved)
    for at in np.flatnonzero(~whole):
        given, brought = flat[0][at], flat[1][at][moved]
        concordance = brought @ given
        untied = known[1][at][moved] @ given**2, brought**2 @ known[0][at]
        scale = np.sqrt(untied[0] * untied[1])
        total += np.divide(concordance, scale, out=np.zeros_like(scale), where=scale > 0)
        count += scale > 0
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)


def _permuted_whole(a: NDArray, b: NDArray, moved: NDArray) -> tuple[Floats, Floats]:
    """Sum of τ_b of environments that lack nothing, and how many have one, in each order."""
    scale = np.sqrt(np.abs(a).sum(axis=1) * np.abs(b).sum(axis=1))
    a, b, scale = a[scale > 0], b[scale > 0], scale[scale > 0]
    total = ((a / scale[:, None]).T @ b)[np.arange(a.shape[1]), moved].sum(axis=1)
    return total, np.full(len(moved), float(len(scale)))


def _alike(signs: NDArray) -> list[NDArray[np.int64]]:
    """Groups of columns that are known in the same environments."""
    known = np.isfinite(np.diagonal(signs, axis1=1, axis2=2))  # 0 where a value is known
    groups: dict[bytes, list[int]] = {}
    for column in range(signs.shape[1]):
        groups.setdefault(known[:, column].tobytes(), []).append(column)
    return [np.array(columns) for columns in groups.values()]


def _count(groups: Sequence[NDArray[np.int64]]) -> int:
    """How many orders there are that keep each group's columns in its places."""
    return math.prod(math.factorial(len(columns)) for columns in groups)


def _orders(groups: Sequence[NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    """Orders that permute columns within their groups, the given one first."""
    given = np.arange(sum(map(len, groups)))
    if _count(groups) <= math.factorial(EXACT):
        every = list(itertools.product(*(itertools.permutations(g) for g in groups)))
        orders = np.tile(given, (len(every), 1))
        for order, chosen in zip(orders, every, strict=True):
            order[np.concatenate(groups)] = [column for part in chosen for column in part]
        return orders
    drawn = np.tile(given, (DRAWN, 1))
    for columns in groups:
        drawn[:, columns] = rng.permuted(drawn[:, columns], axis=1)
    return np.vstack([given, drawn])


def _detectable(null: Floats, alpha: float) -> float:
    """The smallest value that at most a share ``alpha`` of the null reach; NaN if there is none."""
    ordered = np.sort(null)
    reached = 1 - np.searchsorted(ordered, ordered - _SAME) / len(null)
    return float(ordered[reached <= alpha].min()) if (reached <= alpha).any() else math.nan


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
