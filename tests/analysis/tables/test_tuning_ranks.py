"""Places never reward a divergence: a theorem, and here a search for what contradicts it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.tables import tuning_ranks
from tests.helpers.planted.studies import diverged

CHANCE, HORIZON = 10.0, 100.0
NAMES = ("none", "batch", "layer")
RATES = (0.01, 0.1, 1.0)


def one_block(rows: Sequence[tuple[str, float, int, float, float]]) -> pd.DataFrame:
    """Rows: normalizer, learning rate, seed, time, accuracy."""
    runs = pd.DataFrame(rows, columns=["normalizer", "lr", "seed", "time", "accuracy"])
    labels = {"data": "d", "training": "", "architecture": "a"}
    return runs.assign(**labels, steps=HORIZON, chance=CHANCE, status="ok", stuck=False)


@st.composite
def studies(draw: st.DrawFn) -> pd.DataFrame:
    """Runs with few distinct values, so that ties are common; some missing, some below chance."""
    value = st.sampled_from([5.0, 9.0, CHANCE, 30.0, 31.0, 90.0, HORIZON])
    rows = [
        (name, rate, seed, draw(value), draw(value))
        for name in NAMES
        for rate in RATES
        for seed in range(3)
        if draw(st.integers(0, 9)) < 9
    ]
    assume(rows)
    return one_block(rows)


@given(studies(), st.data())
@settings(max_examples=50, deadline=None)
def test_a_divergence_never_improves_a_place(runs: pd.DataFrame, data: st.DataObject) -> None:
    lost = data.draw(st.lists(st.integers(0, len(runs) - 1), unique=True, max_size=6))
    runs = diverged(runs, np.isin(np.arange(len(runs)), lost))
    one = data.draw(st.integers(0, len(runs) - 1))
    more = diverged(runs, np.arange(len(runs)) == one)
    name = runs["normalizer"][one]
    for outcome in tuning_ranks.OUTCOMES:
        before, after = (tuning_ranks.places(each, outcome) for each in (runs, more))
        own = before.index.get_level_values("normalizer") == name
        assert (after[own].to_numpy() >= before[own].to_numpy()).all()
        numbers = [tuning_ranks.ranked(each, outcome)[~own].to_numpy() for each in (more, runs)]
        assert (numbers[0] <= numbers[1]).all()


def test_numbers_by_hand() -> None:
    rows = [("none", rate, 0, time, 50.0) for rate, time in zip(RATES, (80, 40, 100), strict=True)]
    rows += [("batch", rate, 0, time, 60.0) for rate, time in zip(RATES, (60, 50, 30), strict=True)]
    found = tuning_ranks.ranked(one_block(rows), "time").xs("none", level="normalizer").iloc[0]
    assert found["tuned"] == 40
    assert found["of_two"] == pytest.approx((40 + 40 + 80) / 3)
    assert found["averaged"] == pytest.approx(220 / 3)
    assert found["shared"] == pytest.approx((2 + 1 + 2) / 3)
    accuracy = tuning_ranks.ranked(one_block(rows), "accuracy")
    assert accuracy["tuned"].tolist() == [-60, -50]


def test_a_lone_rate_is_the_better_of_itself_and_what_is_not_known_has_no_place() -> None:
    runs = one_block([("none", 0.1, 0, 20.0, np.nan), ("none", 0.1, 1, 30.0, np.nan)])
    assert tuning_ranks.ranked(runs, "time")["of_two"].tolist() == [25]
    assert tuning_ranks.ranked(runs, "accuracy").isna().all(axis=None)
    assert tuning_ranks.places(runs, "time").iloc[0].tolist() == [1, 1, 1, 1]


def test_a_stuck_run_counts_as_chance_whatever_its_accuracy() -> None:
    lucky = one_block([("none", 0.1, 0, 100.0, 13.0), ("batch", 0.1, 0, 90.0, 50.0)])
    lucky = lucky.assign(stuck=[True, False])
    assert tuning_ranks.ranked(lucky, "accuracy")["tuned"].tolist() == [-50.0, -CHANCE]


def test_below_chance_is_no_better_than_diverged() -> None:
    stuck = one_block([("none", 0.1, 0, 100.0, 8.0), ("batch", 0.1, 0, 90.0, 50.0)])
    lost = diverged(stuck, np.array([True, False]))
    pd.testing.assert_frame_equal(
        tuning_ranks.ranked(stuck, "accuracy"), tuning_ranks.ranked(lost, "accuracy")
    )
