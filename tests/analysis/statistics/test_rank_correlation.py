from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from analysis.statistics import rank_correlation, regression

RNG = np.random.default_rng


def slow_psi(one: np.ndarray, two: np.ndarray) -> float:
    taus = []
    for a, b in zip(one, two, strict=True):
        known = np.isfinite(a) & np.isfinite(b)
        if known.sum() > 1 and np.ptp(a[known]) and np.ptp(b[known]):
            taus.append(float(np.asarray(kendalltau(a[known], b[known]))[0]))
    return float(np.mean(taus)) if taus else math.nan


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_psi_is_the_mean_of_scipys_tau(ties: bool, missing: bool) -> None:
    one, two = RNG(1).normal(size=(2, 7, 5))
    if ties:
        one, two = one.round(), two.round()
    if missing:
        one[0, :2] = np.nan
        two[3, 4] = np.nan
        two[5] = np.nan
    found = rank_correlation.psi(one, two, RNG(0))
    assert found.estimate == pytest.approx(slow_psi(one, two), rel=1e-5)
    assert found.low <= found.estimate <= found.high
    assert found.n == 5


def test_the_permutation_test_is_exact() -> None:
    one, two = RNG(2).normal(size=(2, 3, 4))
    orders = list(itertools.permutations(range(4)))
    null = [slow_psi(one, two[:, order]) for order in orders]
    found = rank_correlation.psi(one, two, RNG(0))
    assert found.p == pytest.approx(np.mean([x >= null[0] - 1e-9 for x in null]))
    assert found.p_below == pytest.approx(np.mean([x <= null[0] + 1e-9 for x in null]))
    reached = [x for x in null if np.mean([y >= x - 1e-9 for y in null]) <= 0.05]
    assert found.detectable == pytest.approx(min(reached), abs=1e-6)


def lacking() -> tuple[np.ndarray, np.ndarray]:
    """Two quantities of five columns; one lacks the first two somewhere, the other the last one."""
    one, two = RNG(5).normal(size=(2, 4, 5))
    one[1, :2] = np.nan
    two[2:, 4] = np.nan
    return one, two


def allowed(lacks: tuple[int, ...]) -> list[list[int]]:
    """Orders in which columns that lack something stay among themselves."""
    orders = itertools.permutations(range(5))
    return [list(o) for o in orders if {o[i] for i in lacks} == set(lacks)]


def test_where_readings_are_missing_every_order_is_ranked_anew() -> None:
    one, two = lacking()
    null = [slow_psi(one, two[:, order]) for order in allowed((4,))]
    found = rank_correlation.psi(one, two, RNG(0))
    assert found.p == pytest.approx(np.mean([x >= null[0] - 1e-9 for x in null]))
    assert found.p_below == pytest.approx(np.mean([x <= null[0] + 1e-9 for x in null]))
    turned = rank_correlation.psi(two, one, RNG(0))  # whichever is permuted
    assert (turned.p, turned.p_below, turned.detectable) == (
        found.p,
        found.p_below,
        found.detectable,
    )


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_the_size_of_the_test_is_at_most_its_level_where_readings_are_missing(alpha: float) -> None:
    """Under the null all allowed orders of one quantity are as likely as the one that was seen."""
    one, two = lacking()
    found = [rank_correlation.psi(one, two[:, order], RNG(0)).p for order in allowed((4,))]
    assert np.mean(np.array(found) <= alpha + 1e-12) <= alpha + 1e-12
    assert min(found) <= alpha


def test_what_differs_by_rounding_alone_is_one_value_of_psi() -> None:
    """An order and its mirror image have the same ψ, from sums in another order."""
    found = rank_correlation.psi([[1, 2, 3, 4, 5]] * 3, [[1, 2, 3, 5, 4]] * 3, RNG(0), alpha=0.01)
    assert found.detectable == pytest.approx(1.0)
    ties = rank_correlation.psi([[1, 2, 3, 4, 5]] * 3, [[1, 2, 3, 4, 4]] * 3, RNG(0), alpha=0.01)
    assert math.isnan(ties.detectable)


def test_the_jackknife_is_that_of_the_slow_twin() -> None:
    one, two = RNG(3).normal(size=(2, 4, 6))
    left = [slow_psi(np.delete(one, i, 1), np.delete(two, i, 1)) for i in range(6)]
    error = math.sqrt(5 * np.var(left))
    found = rank_correlation.psi(one, two, RNG(0))
    assert found.estimate - found.low == pytest.approx(2.5705818 * error, rel=1e-4)


def test_three_columns_never_suffice() -> None:
    found = rank_correlation.psi([[1, 2, 3]], [[1, 2, 3]], RNG(0))
    assert found.estimate == 1
    assert found.p == pytest.approx(1 / 6)
    assert math.isnan(found.detectable)


@pytest.mark.parametrize("empty", [[[1.0]], [[np.nan, 1.0]], [[1.0, 1.0]], np.empty((0, 3))])
def test_nothing_to_rank_is_nan(empty: list[list[float]]) -> None:
    assert rank_correlation.psi(empty, empty, RNG(0)) == rank_correlation.NO_PSI or math.isnan(
        rank_correlation.psi(empty, empty, RNG(0)).estimate
    )


def test_sign_errors_by_hand() -> None:
    one = [[1, 2, 3], [1, 2, 3], [1, 1, np.nan], [1, 2, 3]]
    two = [[1, 2, 3], [3, 2, 1], [1, 2, 3], [5, 5, 5]]
    found = rank_correlation.sign_errors(one, two, ["a", "b", "c", "d"])
    assert found == {"a": 0, "b": 1, "c": 0.5}  # a tie in the measure is half wrong


def test_overall_is_scipys() -> None:
    one, two = RNG(4).normal(size=(2, 30))
    one[3] = np.nan
    tau, n = rank_correlation.overall(one, two)
    known = np.isfinite(one)
    assert tau == pytest.approx(float(np.asarray(kendalltau(one[known], two[known]))[0]))
    assert n == 29
    assert math.isnan(rank_correlation.overall([1, 1], [1, 2])[0])


def test_added_r2_by_hand() -> None:
    groups = np.repeat(["a", "b", "c"], 20)
    base, extra = RNG(5).normal(size=(60, 2)), RNG(6).normal(size=60)
    shift = np.repeat([0.0, 5.0, -3.0], 20)
    y = base @ [1.0, -2.0] + 3 * extra + shift
    added = regression.added_r2(y, base, extra, groups)
    within = y - np.repeat([y[groups == g].mean() for g in "abc"], 20)
    alone = regression.added_r2(y, base[:, :0], extra, groups)
    assert 0 < alone < 1
    assert 0.3 < added < 1  # most of the variance within groups is 3·extra's
    assert within.var() > 1
    noise = regression.added_r2(base @ [1.0, -2.0] + shift, base, extra, groups)
    assert noise == pytest.approx(0, abs=1e-9)
    assert math.isnan(regression.added_r2(y[:20], base[:20], extra[:20], groups[:20]))


def test_slope_within_groups() -> None:
    x = np.array([0.0, 1, 2, 10, 11, 12])
    y = np.array([0.0, 2, 4, 0, 2, 4])
    found = regression.slope(x, y, ["a"] * 3 + ["b"] * 3)
    assert found.estimate == pytest.approx(2)
    assert found.high - found.low == pytest.approx(0, abs=1e-6)
    assert math.isnan(regression.slope([1, 1, 1], [1, 2, 3], ["a"] * 3).estimate)
