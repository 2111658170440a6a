from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from analysis.statistics import estimates


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7], 7),
        ([1, 5], 3),
        ([0, 1, 5], (0 + 4 * 1 + 5) / 6),
        ([-100, 1, 2, 100], 1.5),
        ([-100, 1, 2, 3, 100], (0.75 * 1 + 2 + 0.75 * 3) / 2.5),
        ([-9, 0, 1, 2, 3, 4, 5, 99], 2.5),
    ],
)
def test_interquartile_mean_by_hand(values: list[float], expected: float) -> None:
    assert estimates.weighted(np.array(values, float)) == pytest.approx(expected)


@pytest.mark.parametrize("quarter", [1, 2, 5])
def test_interquartile_mean_is_scipys_where_nothing_is_split(quarter: int) -> None:
    values = rng().normal(size=4 * quarter)
    assert estimates.weighted(values) == pytest.approx(scipy_stats.trim_mean(values, 0.25))


@given(st.integers(1, 200))
def test_weights_are_symmetric_and_sum_to_one(n: int) -> None:
    weights = estimates.iqm_weights(n)
    assert weights.sum() == pytest.approx(1)
    assert weights == pytest.approx(weights[::-1])
    assert (weights >= 0).all()


def test_resampling_stays_within_strata() -> None:
    strata = np.array([1, 0, 1, 0, 0, 2])
    drawn = estimates.resample(strata, rng(), 500)
    assert (strata[drawn] == strata).all()
    for j in range(5):
        assert set(drawn[:, j]) == set(np.flatnonzero(strata == strata[j]))


def test_inflation_by_hand() -> None:
    t = scipy_stats.t.ppf(0.975, 4) / scipy_stats.norm.ppf(0.975)
    assert estimates.inflation([0, 0, 0, 1, 1, 1]) == pytest.approx(math.sqrt(3 / 2) * t)
    assert math.isnan(estimates.inflation([0, 1, 2]))


def test_interval_of_one_run_a_stratum_has_no_width_to_give() -> None:
    found = estimates.interval([1.0, 2.0], [0, 1], rng())
    assert found.estimate == 1.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert estimates.interval([], [], rng()).n == 0


@pytest.mark.parametrize(("strata", "seeds"), [(1, 3), (1, 5), (2, 3), (4, 3), (4, 5)])
def test_interval_covers_about_95_percent_of_normal_data(strata: int, seeds: int) -> None:
    source = rng(1)
    block = np.repeat(np.arange(strata), seeds)
    hits = 0
    for _ in range(300):
        found = estimates.interval(source.normal(size=len(block)), block, source)
        hits += found.low <= 0 <= found.high
    assert 0.90 <= hits / 300 <= 0.98


def test_wilson_by_hand() -> None:
    z, n, p = scipy_stats.norm.ppf(0.975), 6, 1 / 3
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    found = estimates.wilson(2, 6)
    assert found[:3] == pytest.approx((p, middle - half, middle + half))
    assert estimates.wilson(0, 3).low == 0
    assert math.isnan(estimates.wilson(0, 0).estimate)


def test_restricted_times_by_hand() -> None:
    found = estimates.restricted([10, math.nan, 20, 500], 100, [False, False, True, False])
    assert found.tolist() == [10, 100, 100, 100]


def test_hodges_lehmann_by_hand() -> None:
    # Walsh averages of 1, 2, 6: 1, 1.5, 2, 3.5, 4, 6.
    found = estimates.hodges_lehmann([6, 1, 2])
    assert found.estimate == pytest.approx(2.75)
    assert math.isnan(found.low)
    assert estimates.hodges_lehmann([]).n == 0


@pytest.mark.parametrize("n", [6, 10, 20, 60])
def test_hodges_lehmann_interval_is_the_signed_rank_test_inverted(n: int) -> None:
    d = rng(n).normal(size=n)
    found = estimates.hodges_lehmann(d)
    inside, outside = 1e-9, -1e-9
    for shift, kept in ((inside, True), (outside, False)):
        for edge, sign in ((found.low, 1), (found.high, -1)):
            test: Any = scipy_stats.wilcoxon(d - (edge + sign * shift), method="exact")
            assert (test.pvalue > 0.05) == kept


def test_hodges_lehmann_interval_below_six_pairs_does_not_exist() -> None:
    assert math.isnan(estimates.hodges_lehmann(np.arange(5.0)).low)
    six = estimates.hodges_lehmann(np.arange(6.0))
    assert (six.low, six.high) == (0, 5)


@pytest.mark.parametrize("n", [2, 3, 6, 9])
def test_sign_flip_is_scipys_exact_permutation_test(n: int) -> None:
    d = rng(n).normal(0.7, size=n)
    reference = scipy_stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=10_000, alternative="two-sided"
    )
    assert estimates.sign_flip(d, np.zeros(n), rng()) == pytest.approx(reference.pvalue)


def test_sign_flip_gives_blocks_equal_say() -> None:
    # Block means 1 and −1 cancel: every pattern is at least as extreme.
    assert estimates.sign_flip([1.0, 1.0, 1.0, -1.0], [0, 0, 0, 1], rng()) == 1
    assert estimates.sign_flip([1.0, 1.0, 1.0, -1.0], [0, 0, 0, 0], rng()) == pytest.approx(10 / 16)


def test_sign_flip_reaches_the_smallest_p() -> None:
    for n in (2, 5, 14):
        d = rng(n).uniform(1, 2, size=n)
        assert estimates.sign_flip(d, np.zeros(n), rng()) == estimates.smallest_p(n) == 2 / 2**n
    assert estimates.sign_flip(np.ones(40), np.zeros(40), rng()) == estimates.smallest_p(40)
    assert (
        estimates.sign_flip(np.arange(1.0, 7), np.zeros(6), rng())
        == estimates.smallest_p(6)
        == 1 / 32
    )
    assert estimates.smallest_p(0) == 1
    assert math.isnan(estimates.sign_flip([], [], rng()))


def test_sign_flip_drawn_agrees_with_the_normal_limit() -> None:
    d = rng(3).normal(0.3, size=50)
    z = d.sum() / math.sqrt((d**2).sum())
    limit = 2 * scipy_stats.norm.sf(abs(z))
    assert estimates.sign_flip(d, np.zeros(50), rng()) == pytest.approx(limit, abs=0.01)


def test_sign_flip_of_equal_runs_rejects_nothing() -> None:
    assert estimates.sign_flip(np.zeros(5), np.zeros(5), rng()) == 1


def test_holm_by_hand() -> None:
    # Sorted: .01·4, .02·3, .03·2, .04 → .04, .06, .06, .06.
    found = estimates.holm([0.04, 0.01, 0.03, 0.02])
    assert found == pytest.approx([0.06, 0.04, 0.06, 0.06])
    found = estimates.holm([0.5, math.nan, 0.01])
    assert found[[0, 2]] == pytest.approx([0.5, 0.02])
    assert math.isnan(found[1])
    assert estimates.holm([]).size == 0
    assert estimates.holm([0.9, 0.8]).tolist() == [1, 1]


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_a_difference_that_is_not_known_is_no_evidence(unknown: float) -> None:
    assert np.isnan(estimates.sign_flip([1.0, unknown], [0, 0], rng()))
    assert np.isnan(estimates.sign_flip([1.0] * 20 + [unknown], [0] * 21, rng()))
    assert np.isnan(estimates.hodges_lehmann([1.0, unknown] * 4)[:3]).all()
    values, strata = np.array([1.0, unknown]), np.zeros(2)
    assert np.isnan(estimates.shuffled(values, strata, np.ones(2), strata, rng())).all()
