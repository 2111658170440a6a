from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.statistics import bands as curves
from analysis.statistics import estimates
from analysis.statistics.bands import band


def rows(runs: int = 4, steps: int = 3, **labels: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    step = np.tile(np.arange(steps), runs)
    cell = np.repeat([f"c{i}" for i in range(runs)], steps)
    frame = pd.DataFrame({"cell_id": cell, "step": step, "y": rng.normal(size=len(step))})
    return frame.assign(**{"normalizer": "batch", "lr": 0.1, **labels})


def test_centers_are_interquartile_means() -> None:
    frame = rows()
    found = band(frame, ["normalizer"], "step", "y")
    wide = frame.pivot(index="cell_id", columns="step", values="y").to_numpy()
    assert found["center"].to_numpy() == pytest.approx(estimates.weighted(wide.T))
    assert found["n"].tolist() == [4, 4, 4]
    assert (found["low"] < found["center"]).all()
    assert (found["high"] > found["center"]).all()
    assert list(found.columns) == ["normalizer", "step", "center", "low", "high", "n"]


def test_interval_is_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "RESAMPLES", 20_000)
    frame = rows(runs=6, steps=1)
    found = band(frame, ["normalizer"], "step", "y").iloc[0]
    table = estimates.interval(frame["y"], np.zeros(6), np.random.default_rng(1))
    assert found["low"] == pytest.approx(table.low, abs=0.1)
    assert found["high"] == pytest.approx(table.high, abs=0.1)


def test_strata_are_what_runs_share() -> None:
    # Two learning rates far apart: within them runs are equal, so nothing varies.
    near, far = rows(steps=1, lr=0.1).assign(y=1.0), rows(steps=1, lr=0.2).assign(y=9.0)
    far["cell_id"] = "d" + far["cell_id"]
    found = band(pd.concat([near, far]), ["normalizer"], "step", "y").iloc[0]
    assert (found["low"], found["center"], found["high"]) == (5, 5, 5)


def test_layers_of_a_run_are_averaged_and_absent_values_left_out() -> None:
    frame = pd.concat([rows(steps=2).assign(y=1.0), rows(steps=2).assign(y=3.0)])
    frame.loc[(frame["cell_id"] == "c0") & (frame["step"] == 1), "y"] = np.nan
    frame.loc[(frame["cell_id"] == "c1") & (frame["step"] == 1), "y"] = np.inf
    found = band(frame, [], "step", "y")
    assert found["center"].tolist() == [2, 2]
    assert found["n"].tolist() == [4, 2]


def test_one_run_has_no_interval_and_no_rows_no_curve() -> None:
    found = band(rows(runs=1), ["normalizer"], "step", "y")
    assert found[["low", "high"]].isna().all(axis=None)
    empty = band(rows().iloc[:0], ["normalizer"], "step", "y")
    assert list(empty.columns) == ["normalizer", "step", "center", "low", "high", "n"]
    assert empty.empty
    assert band(rows().assign(y=np.nan), ["normalizer"], "step", "y").empty


def test_same_rows_in_another_order_give_the_same_curve() -> None:
    frame = rows(runs=7, steps=9)
    shuffled = frame.sample(frac=1, random_state=0)
    by = ["normalizer", "lr"]
    pd.testing.assert_frame_equal(band(frame, by, "step", "y"), band(shuffled, by, "step", "y"))


def test_chunks_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = band(rows(steps=50), ["normalizer"], "step", "y")
    monkeypatch.setattr(curves, "_AT_ONCE", 3000)
    pd.testing.assert_frame_equal(whole, band(rows(steps=50), ["normalizer"], "step", "y"))
