"""From records to one row per run: `reductions.over_steps` and `tables.outcomes`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.load.sources import load
from analysis.metrics import FINAL_LOSS
from analysis.reductions import over_steps, record_views
from analysis.tables import outcomes
from analysis.tables.columns import Column, final
from tests.helpers.stores.synthetic import write_store


def runs_of(
    scores: dict[str, dict[float, list[float]]],
    diverged: frozenset[tuple[str, float]] = frozenset(),
) -> pd.DataFrame:
    """normalizer -> lr -> a score a seed."""
    rows = [
        {"normalizer": name, "lr": lr, "seed": seed, "score": score}
        | {"status": "diverged" if (name, lr) in diverged else "ok"}
        for name, rates in scores.items()
        for lr, values in rates.items()
        for seed, score in enumerate(values)
    ]
    frame = pd.DataFrame(rows).assign(data="d", training="", architecture="a", value=1.0)
    frame["dead"] = frame["status"] == "diverged"
    return frame.dropna(subset="score").reset_index(drop=True)


def chosen(frame: pd.DataFrame) -> dict[int, float]:
    return dict(zip(frame["seed"], frame["lr"], strict=True))


def test_a_seed_does_not_choose_its_own_rate() -> None:
    # Seed 2 alone loves 0.3: the others choose 0.1 for it, and it chooses nothing for the others.
    runs = runs_of({"batch": {0.1: [0.6, 0.6, 0.1], 0.3: [0.5, 0.5, 0.65]}})
    assert chosen(outcomes.tuned(runs)) == {0: 0.3, 1: 0.3, 2: 0.1}


def test_ties_go_to_the_smaller_rate_and_single_seeds_say_so() -> None:
    tied = runs_of({"batch": {0.3: [0.5, 0.5], 0.1: [0.5, 0.5]}})
    assert chosen(outcomes.tuned(tied)) == {0: 0.1, 1: 0.1}
    alone = outcomes.tuned(runs_of({"batch": {0.1: [0.5], 0.3: [0.6]}}))
    assert chosen(alone) == {0: 0.3}
    assert alone["choice"].tolist() == ["chosen on the reported seed"]
    single = outcomes.tuned(runs_of({"batch": {0.1: [0.5, 0.7]}}))
    assert chosen(single) == {0: 0.1, 1: 0.1}
    assert set(single["choice"]) == {""}


def test_a_seed_is_not_given_a_rate_at_which_it_did_not_run() -> None:
    runs = runs_of({"batch": {0.1: [0.5, 0.5, 0.5], 0.3: [np.nan, 0.9, 0.9]}})
    assert chosen(outcomes.tuned(runs)) == {0: 0.1, 1: 0.3, 2: 0.3}


def test_shared_rate_is_best_over_normalizers() -> None:
    runs = runs_of({"none": {0.1: [0.5, 0.5], 0.3: [0.1, 0.1]}, "batch": {0.1: [0.6], 0.3: [0.7]}})
    assert set(outcomes.shared(runs)["lr"]) == {0.1}
    assert len(outcomes.shared(runs)) == 3


def test_stable_rate_and_spread() -> None:
    runs = runs_of({"none": {0.1: [1, 3], 0.3: [5, 9], 1.0: [0, 0]}}, frozenset({("none", 1.0)}))
    assert outcomes.stable_lr(runs) == 0.3
    assert np.isnan(outcomes.stable_lr(runs[runs["lr"] == 1.0]))
    found = outcomes.spread_over_lr(runs, "score", np.random.default_rng(0))
    assert found.estimate == 7 - 0
    assert found.low <= 7 <= found.high
    one = outcomes.spread_over_lr(runs[runs["lr"] == 0.1], "score", np.random.default_rng(0))
    assert np.isnan(one.estimate)


def plain_runs() -> pd.DataFrame:
    """Five runs of one block: three train, one diverges, one is stuck."""
    frame = pd.DataFrame({"cell_id": list("abcde"), "status": ["ok"] * 5, "steps": [100.0] * 5})
    frame.loc[3, "status"] = "diverged"
    frame = frame.assign(data="d", training="", architecture="a", normalizer="batch", lr=0.1)
    frame["diverged_step"] = [np.nan, np.nan, np.nan, 60, np.nan]
    frame["stuck"] = frame["cell_id"] == "e"
    frame["initial_loss"] = [2.0, 2.0, 2.0, 2.5, 2.0]
    frame["chance_loss"] = 2.0
    frame["final_train_loss"] = [0.5, 0.6, 0.7, 1e9, 2.0]
    frame["train_accuracy"] = frame["validation_accuracy"] = [0.9, 0.8, 0.7, np.nan, 0.1]
    return frame.assign(test_accuracy=frame["train_accuracy"])


def plain_training() -> pd.DataFrame:
    step = np.arange(0, 100, 10)
    lowest = {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.4, "e": 1.9}
    parts = [
        pd.DataFrame({"cell_id": cell, "step": step, "smooth_loss": np.linspace(2, low, len(step))})
        for cell, low in lowest.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(data="d", train_accuracy=0.125)


def test_level_is_what_80_percent_of_training_runs_reach() -> None:
    level = over_steps.levels(plain_runs(), plain_training())
    assert level.tolist() == [0.7] * 5  # ⌈0.8·3⌉ = the third smallest of 0.5, 0.6, 0.7


def test_a_diverged_run_is_last_in_every_outcome() -> None:
    found = outcomes.outcomes(plain_runs(), plain_training()).set_index("cell_id")
    assert found["time"].tolist() == [80, 90, 90, 100, 100]
    assert found["reached"]["d"] == 80  # it did, and then diverged
    assert found["loss"]["d"] == 2.5 == found["loss"].max()
    assert found["accuracy"]["d"] == pytest.approx(100 * np.exp(-2.0))
    assert found["score"].tolist() == pytest.approx([0.9, 0.8, 0.7, np.exp(-2.0), 0.1])


def test_a_diverged_run_counts_where_the_loss_at_chance_is_not_known() -> None:
    found = outcomes.outcomes(plain_runs().assign(chance_loss=np.nan), plain_training())
    assert found.set_index("cell_id")["accuracy"]["d"] == 0


def test_regressions_are_scored_by_loss() -> None:
    runs = plain_runs().assign(train_accuracy=np.nan, validation_accuracy=np.nan)
    training = plain_training().assign(train_accuracy=np.nan)
    found = outcomes.outcomes(runs.assign(test_accuracy=np.nan), training)
    assert found["score"].tolist() == [-0.5, -0.6, -0.7, -2.5, -2.0]
    assert found["accuracy"].isna().all()


def test_windows_and_matched_loss_by_hand() -> None:
    runs = plain_runs().iloc[[0, 3]].assign(learned=0.0)
    probes = pd.DataFrame({"cell_id": ["a"] * 4 + ["d"] * 2, "step": [0, 25, 50, 75, 0, 25]})
    probes["y"] = [1.0, 3.0, 5.0, 9.0, 2.0, 4.0]
    assert over_steps.early(probes, runs)["y"].to_dict() == {"a": 3.0, "d": 4.0}  # step 25 alone
    assert over_steps.late(probes, runs)["y"].to_dict() == {"a": 7.0}
    at_loss = over_steps.at_loss(probes, runs, pd.Series([26.0, np.nan]))
    assert at_loss["y"].to_dict() == {"a": 5.0}


def test_the_plateau_is_left_out_and_mostly_plateau_is_no_reading() -> None:
    runs = plain_runs().iloc[[0, 1, 2]].assign(learned=[60.0, 90.0, np.nan])
    probes = pd.DataFrame({"cell_id": list("aaabbbccc"), "step": [50, 70, 95] * 3})
    probes["y"] = [100.0, 1.0, 3.0, 100.0, 100.0, 1.0, 1.0, 1.0, 1.0]
    assert over_steps.late(probes, runs)["y"].to_dict() == {"a": 2.0}  # b: one probe of three
    assert over_steps.end(probes, runs)["y"].to_dict() == {"a": 3.0, "b": 1.0}  # c never left
    assert over_steps.early(probes, runs).empty


@pytest.mark.parametrize(
    ("first", "last", "stuck"),
    [
        (2.91, 2.306, True),  # ResNet-20 without a normalizer, Glorot, at rate 1: accuracy 0.1000
        (2.42, 2.24, True),  # DenseNet-13 without a normalizer at rate 0.01
        (2.81, 2.15, False),
        (2.20, 2.19, True),  # a first loss below chance is luck
        (7.82, 0.20, False),
    ],
)
def test_stuck_is_measured_against_chance(first: float, last: float, stuck: bool) -> None:
    runs = plain_runs().iloc[[0]].assign(chance_loss=np.log(10), initial_loss=first)
    training = pd.DataFrame({"cell_id": "a", "step": [0, 50], "smooth_loss": [first, last]})
    assert over_steps.is_stuck(runs, training).tolist() == [stuck]
    learned = over_steps.learned_step(runs.assign(stuck=[stuck]), training)
    assert learned.notna().tolist() == [not stuck]
    assert not over_steps.is_stuck(runs.assign(status="diverged"), training).any()


def test_a_target_is_at_most_half_of_chance_where_a_run_gets_there() -> None:
    runs, training = plain_runs(), plain_training()
    assert set(over_steps.levels(runs.assign(chance_loss=1.3), training)) == {0.65}  # below 0.7
    weak = runs.assign(chance_loss=0.9)
    weak["level"] = over_steps.levels(weak, training)  # no run is below 0.45
    assert set(weak["level"]) == {0.7}
    assert over_steps.is_weak(weak).all()
    assert not over_steps.is_weak(runs.assign(level=0.7)).any()


def test_a_dead_run_is_not_stable_and_never_reaches_its_target() -> None:
    runs = plain_runs().assign(lr=[0.1, 0.1, 0.1, 10.0, 1.0])
    training = plain_training()
    training.loc[(training["cell_id"] == "e") & (training["step"] == 20), "smooth_loss"] = 0.1
    found = outcomes.outcomes(runs, training)
    assert found["dead"].tolist() == [False, False, False, True, True]
    assert found["time"].tolist()[4] == 100  # it was below the target once, and ended at chance
    assert outcomes.stable_lr(found) == 0.1
    assert found["loss_share"].tolist() == [0.25, 0.3, 0.35, 1.25, 1.0]


def test_probes_are_medians_over_layers_before_the_divergence() -> None:
    runs = plain_runs().iloc[[3]]
    gradient = pd.DataFrame({"cell_id": "d", "step": [50] * 4 + [60], "index": [1, 2, 3, 4, 2]})
    gradient["relative"] = [0.0, 1.0, np.inf, 4.0, 7.0]
    empty = pd.DataFrame({"cell_id": [], "step": []})
    records = {"gradient_ics": gradient, "moment_ics": empty, "landscape": empty}
    found = record_views.at_probes({**records, "training": empty}, runs)["gradient_ics"]
    assert found["relative"].tolist() == [2.5]


def test_scaled_beta_uses_the_rate_of_its_step() -> None:
    runs = plain_runs().iloc[[0]]
    line = pd.DataFrame({"cell_id": "a", "step": [0, 50], "range": "lr", "direction": "gradient"})
    line = line.assign(effective_beta=10.0, lr=0.1)
    other = line.assign(range="common", effective_beta=99.0)
    training = pd.DataFrame({"cell_id": "a", "step": [0, 50], "step_lr": [0.1, 0.01]})
    empty = pd.DataFrame({"cell_id": [], "step": []})
    records = {"gradient_ics": empty, "moment_ics": empty, "training": training}
    found = record_views.at_probes({**records, "landscape": pd.concat([line, other])}, runs)[
        "landscape"
    ]
    assert found["scaled_beta"].tolist() == pytest.approx([1.0, 0.1])


def test_a_run_cut_by_its_limit_is_censored(tmp_path: Path) -> None:
    cut = [("none", 0.1, 0)]
    write_store(tmp_path, architectures=["vgg11"], budget=cut, diverge=(), seeds=[0])
    study = load(str(tmp_path))
    assert set(study.runs["status"]) == {"ok", "time_limit"}
    found = outcomes.outcomes(study.runs, study.records["training"]).set_index("status")
    names = ["accuracy", "loss", "time", "steps", "reached"]
    accuracy, loss, time, steps, reached = (
        found[names].astype(float).loc[["time_limit"]].to_numpy()[0]
    )
    assert np.isnan([accuracy, loss]).all()
    assert time == np.fmin(steps, reached)


def test_two_tries_and_averages_by_hand() -> None:
    runs = pd.DataFrame({"lr": [0.1, 0.01, 1.0], "time": [10.0, 20, 40], "score": [3.0, 2, 1]})
    runs["accuracy"] = [90.0, 80, 10]
    keys = {"data": "d", "training": "", "architecture": "a", "normalizer": "n", "seed": 0}
    runs = runs.assign(**keys, status="ok")
    two = outcomes.better_of_two(runs).iloc[0]
    assert two["time"] == pytest.approx((10 + 10 + 20) / 3)  # pairs: ab, ac, bc
    assert two["accuracy"] == pytest.approx((90 + 90 + 80) / 3)
    assert outcomes.averaged(runs).iloc[0]["time"] == pytest.approx(70 / 3)
    alone = outcomes.better_of_two(runs[runs["lr"] == 0.01]).iloc[0]
    assert alone["time"] == 20


@pytest.mark.parametrize(
    ("lost", "center", "endless"),
    [([], 2.0, False), ([0], 3.0, True), ([0, 1], np.inf, False), ([0, 1, 2], np.inf, False)],
)
def test_a_diverged_loss_is_infinite_under_a_median(
    lost: list[int], center: float, endless: bool
) -> None:
    rows = runs_of({"none": {0.1: [1.0, 2.0, 3.0]}}).rename(columns={"score": "loss"})
    rows.loc[lost, ["status", "loss"]] = ["diverged", 111.0]
    column = Column(
        measure=FINAL_LOSS,
        value="loss",
        runs=rows,
        estimator=final,
        pair=("seed",),
        note=lambda rows: [],
    )
    found = final(rows, column, np.random.default_rng(0))
    assert found.estimate == center
    assert found.n == 3
    assert np.isinf(found.high) == endless
    assert np.isnan(found.low) == np.isinf(center)
