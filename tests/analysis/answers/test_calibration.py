"""Statistics on studies whose truth is known: fixed seeds, ranges wide enough for few repeats."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.helpers.planted import experiments, studies


@pytest.mark.parametrize(("seeds", "rates"), [(3, 1), (5, 1), (3, 3)])
def test_intervals_cover(seeds: int, rates: int) -> None:
    found = experiments.coverage(seeds, rates, 300, np.random.default_rng(seeds))
    assert 0.91 <= found <= 0.985


def test_nothing_is_found_where_nothing_is() -> None:
    rng = np.random.default_rng(1)
    found = [experiments.against_reference(0.0, rng)[0] for _ in range(60)]
    assert np.mean(found) <= 0.1


def test_a_planted_effect_is_found_with_its_sign() -> None:
    rng = np.random.default_rng(2)
    third = math.log(experiments.EFFECTS["a third"])
    for effect in (third, -third):
        found = [experiments.against_reference(effect, rng)[1] for _ in range(20)]
        assert np.mean(found) >= 0.9


def test_what_a_perfect_test_would_find() -> None:
    """By hand: Dunnett's two-sided 5 % point for 19 comparisons and known variance is 2.89."""
    effect = 2.89 * studies.NOISE / math.sqrt(15)
    assert studies.perfect_power(effect) == pytest.approx(0.5, abs=0.002)
    powers = [studies.t_power(size) for size in (0.1, 0.3, 0.5)]
    assert powers == sorted(powers)
    assert studies.t_power(0.3) < studies.perfect_power(0.3)


@pytest.mark.parametrize("kind", ["confound", "persistent"])
def test_a_confound_does_not_predict(kind: str) -> None:
    rng = np.random.default_rng(3)
    found = [experiments.foretold(kind, rng) for _ in range(6)]
    assert np.median([tau for tau, _ in found]) > 0.4
    assert [word for _, word in found].count("predicts") == 0


def test_what_is_real_is_told() -> None:
    rng = np.random.default_rng(4)
    words = [experiments.foretold("real", rng)[1] for _ in range(6)]
    assert words.count("predicts") >= 5


@pytest.mark.parametrize("claim", studies.CLAIMS)
def test_a_verdict_names_where_a_claim_holds(claim: str) -> None:
    rng = np.random.default_rng(6)
    right, wrong = np.mean([experiments.claimed(claim, rng) for _ in range(300)], axis=0)
    assert right >= 0.93
    assert wrong <= 0.04


def test_few_runs_leave_a_claim_undecided_and_not_wrong() -> None:
    rng = np.random.default_rng(7)
    few = [experiments.claimed("late only", rng, rates=2, seeds=2) for _ in range(200)]
    right, wrong = np.mean(few, axis=0)
    assert right <= 0.5
    assert wrong <= 0.05


def test_diverging_never_pays() -> None:
    rng = np.random.default_rng(5)
    assert not set().union(*(experiments.diverging_pays(rng) for _ in range(30)))


def test_a_number_out_of_its_range_is_marked() -> None:
    assert experiments.Line("x", 0, 0.05, 0.05).holds
    assert not experiments.Line("x", 0, 0.05, 0.06).holds
