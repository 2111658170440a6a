from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.load.sources import load
from analysis.statistics import estimates
from analysis.tables.tables import Table, build, health
from tests.helpers.stores.synthetic import TRUTH, write_store

ONE: dict[str, Any] = {"architectures": ["vgg11"]}


def tables_of(folder: Path, **options: Any) -> dict[str, Table]:
    write_store(folder, **options)
    return {table.name: table for table in build(load(str(folder)))}


def cell(table: Table, measure: str, normalizer: str, **keys: str) -> Any:
    found = table.cells[table.cells["measure"] == measure]
    for key, value in {"normalizer": normalizer, **keys}.items():
        found = found[found[key] == value]
    assert len(found) == 1
    return found.iloc[0]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    folder = tmp_path_factory.mktemp("planted")
    return tables_of(folder, **ONE, lrs=[0.01, 0.1], seeds=range(5))


def test_planted_effects_are_recovered(planted: dict[str, Table]) -> None:
    ics, smooth = planted["table1_ics"], planted["table2_smoothness"]
    for name, truth in TRUTH.items():
        for key, value in {
            "gradient_ics_relative_early": 0.1 * truth.ics,
            "gradient_ics_cosine_early": 1 - 0.15 * truth.ics,
            "moment_ics_mean_shift_early": 0.02 * truth.ics**0.5,
            "gradient_ics_relative_loss": 0.1 * truth.ics,
        }.items():
            found = cell(ics, key, name)
            if found["n"]:
                assert found["estimate"] == pytest.approx(value, rel=0.05)
        for when in ("early", "late"):
            found = cell(smooth, f"landscape_effective_beta_{when}", name)
            assert found["estimate"] == pytest.approx(20 * truth.smooth, rel=0.05)
            assert 0.99 * found["low"] < 20 * truth.smooth < 1.01 * found["high"]
        against = cell(smooth, "landscape_effective_beta_early", name)
        if name != "batch":
            assert against["effect"] == pytest.approx(truth.smooth / 0.2, rel=0.05)
            low, high = against["effect_low"], against["effect_high"]
            assert 0.99 * low < truth.smooth / 0.2 < 1.01 * high
            assert against["reference"] == "batch"
            assert against["p_holm"] < 0.05
    assert cell(smooth, "landscape_loss_range_relative_early", "batch")["best"]


def test_estimates_are_the_interquartile_mean_of_runs(tmp_path: Path) -> None:
    table = tables_of(tmp_path, **ONE, lrs=[0.1], seeds=[0, 1, 2, 3, 4])["table1_ics"]
    study = load(str(tmp_path))
    frame = study.records["gradient_ics"]
    frame = frame[(frame["normalizer"] == "batch") & (frame["index"] > 1)]
    frame = frame[frame["step"].between(0.05 * 40, 0.25 * 40)]
    medians = frame.groupby(["cell_id", "step"], observed=True)["relative"].median()
    runs = medians.groupby("cell_id", observed=True).mean().to_numpy()
    found = cell(table, "gradient_ics_relative_early", "batch")
    assert found["estimate"] == estimates.weighted(runs)
    assert found["n"] == 5


def test_training_table(planted: dict[str, Table]) -> None:
    table = planted["table3_training"]
    steps = [
        cell(table, "steps_to_target", name)["estimate"] for name in ("batch", "layer", "none")
    ]
    assert steps == sorted(steps)
    assert steps[0] < steps[2] <= 40
    accuracy = [
        cell(table, "test_accuracy", name)["estimate"] for name in ("none", "layer", "batch")
    ]
    assert accuracy == sorted(accuracy)
    assert "LR 0.1" in cell(table, "test_accuracy", "batch")["note"]
    diverged = cell(table, "divergence_rate", "none")
    assert diverged["estimate"] == 30
    assert diverged["note"] == "3/10"
    assert (diverged["low"], diverged["high"]) == tuple(
        100 * x for x in estimates.wilson(3, 10)[1:3]
    )
    assert cell(table, "largest_stable_lr", "none")["estimate"] == 0.01
    assert cell(table, "largest_stable_lr", "batch")["estimate"] == 0.1
    assert "largest of the grid" in cell(table, "largest_stable_lr", "batch")["note"]
    time = cell(table, "step_time_ratio", "none")
    assert time["estimate"] == pytest.approx(1 / 1.25, rel=0.05)
    assert time["low"] < 0.8 < time["high"]
    assert cell(table, "step_time_ratio", "batch")["estimate"] == 1
    assert "memory_ratio" not in {m.key for m in table.measures}
    assert "vgg11: " in table.caption


def test_divergence_never_improves_a_rank(tmp_path: Path) -> None:
    every = [("layer", lr, seed) for lr in (0.01, 0.1) for seed in (0, 1, 2)]
    table = tables_of(tmp_path, **ONE, diverge=every)["table3_training"]
    for key, worst in {"steps_to_target": 40, "divergence_rate": 100}.items():
        assert cell(table, key, "layer")["estimate"] == worst
    others = [cell(table, "test_accuracy", name)["estimate"] for name in ("none", "batch")]
    assert cell(table, "test_accuracy", "layer")["estimate"] < min(others)
    lost = cell(table, "final_train_loss", "layer")
    assert np.isinf(lost["estimate"])
    assert np.isnan(lost["low"])
    assert "diverged 3/3" in lost["note"]
    assert not lost["best"]
    assert np.isnan(cell(table, "largest_stable_lr", "layer")["estimate"])
    assert "none is stable" in cell(table, "largest_stable_lr", "layer")["note"]
    flagged = table.cells[table.cells["best"] & (table.cells["normalizer"] == "layer")]
    assert set(flagged["measure"]) <= {"step_time_ratio"}


def test_stars_need_enough_pairs(tmp_path: Path) -> None:
    few = tables_of(tmp_path / "few", **ONE)["table2_smoothness"]
    assert not few.cells["tested"].any()
    assert "so few pairs" in few.caption
    per_block = few.cells.groupby(["architecture", "measure"])["best"].sum()
    assert (per_block == 1).all()
    options = {"normalizers": ["batch", "twin", "none"], "lrs": [0.1], "seeds": range(10)}
    many = tables_of(tmp_path / "many", **ONE, **options, diverge=())["table2_smoothness"]
    rows = many.cells[many.cells["measure"] == "landscape_effective_beta_early"]
    assert rows["tested"].all()
    assert rows.set_index("normalizer")["best"].to_dict() == {
        "none": False,
        "batch": True,
        "twin": False,
    }
    assert "Holm" in many.caption


def test_ties_of_the_best_are_all_flagged(tmp_path: Path) -> None:
    # "one" and "two" have the same planted truth: neither is told from the other.
    options = {"normalizers": ["none", "one", "two"], "lrs": [0.1], "seeds": range(10)}
    table = tables_of(tmp_path, **ONE, **options, diverge=())["table1_ics"]
    early = table.cells[table.cells["measure"] == "moment_ics_log_std_shift_early"]
    assert early.set_index("normalizer")["best"].to_dict() == {
        "none": True,
        "one": False,
        "two": False,
    }
    smooth = build(load(str(tmp_path)))[1].cells
    late = smooth[smooth["measure"] == "landscape_cosine_min_late"].set_index("normalizer")
    assert late["best"].to_dict() == {"none": False, "one": True, "two": True}


def test_a_regression_has_a_test_loss_and_no_gap(tmp_path: Path) -> None:
    """Its training loss is a sum over the batch, its test loss a mean: no difference of the two."""
    found = tables_of(tmp_path, **ONE, regression=True, seeds=range(2))
    measures = {measure.key for measure in found["table5_generalization"].measures}
    assert "test_loss_at_loss" in measures
    assert "loss_gap_at_loss" not in measures
    classified = tables_of(tmp_path / "classes", **ONE, seeds=range(2))["table5_generalization"]
    assert "loss_gap_at_loss" in {measure.key for measure in classified.measures}


def test_same_input_same_bits_in_any_order(tmp_path: Path) -> None:
    options = {"seeds": [0, 1], "stuck": [("layer", 0.01, 1)], "missing": [("batch", 0.1, 0)]}
    one = tables_of(tmp_path / "a", **options)
    other = tables_of(tmp_path / "b", **options, order=5)
    for name, table in one.items():
        pd.testing.assert_frame_equal(table.cells, other[name].cells, check_exact=True)
        assert table.caption == other[name].caption


def test_a_cell_does_not_depend_on_the_other_rows(tmp_path: Path) -> None:
    columns = ["estimate", "low", "high", "n"]
    one = tables_of(tmp_path / "a", architectures=["vgg11"])["table1_ics"]
    two = tables_of(tmp_path / "b", architectures=["resnet20", "vgg11"])["table1_ics"]
    same = two.cells[two.cells["architecture"] == "vgg11"].reset_index(drop=True)
    pd.testing.assert_frame_equal(one.cells[columns], same[columns], check_exact=True)


def test_notes_say_what_happened(tmp_path: Path) -> None:
    options = {"stuck": [("layer", 0.01, 1)], "missing": [("batch", 0.1, 0), ("batch", 0.1, 1)]}
    tables = tables_of(tmp_path, **ONE, **options)
    smooth = tables["table2_smoothness"]
    assert (
        cell(smooth, "landscape_cosine_min_early", "layer")["note"]
        == "stuck 1/6; known of 5/6 runs"
    )
    assert cell(smooth, "landscape_cosine_min_early", "none")["note"] == "diverged 2/6"
    assert cell(smooth, "landscape_cosine_min_early", "batch")["n"] == 4
    assert (
        "level not reached"
        in cell(tables["table1_ics"], "gradient_ics_relative_loss", "none")["note"]
    )


def test_health_adds_up(tmp_path: Path) -> None:
    write_store(
        tmp_path,
        **ONE,
        failed=[("batch", 0.1, 0)],
        missing=[("batch", 0.1, 1)],
        stuck=[("layer", 0.01, 0)],
    )
    found = health(load(str(tmp_path)))
    counted = found[["ok", "diverged", "failed", "absent"]].sum(axis=1)
    assert list(found["planned"]) == list(counted)
    assert list(found["planned"]) == [6, 6, 6]
    assert list(found["normalizer"]) == ["none", "batch", "layer"]
    assert list(found["diverged"]) == [2, 0, 0]
    assert list(found["failed"]) == list(found["absent"]) == [0, 1, 0]
    assert list(found["stuck"]) == [0, 0, 1]


def test_more_data_or_training_become_keys(tmp_path: Path) -> None:
    write_store(tmp_path, **ONE, seeds=[0])
    write_store(tmp_path, **ONE, seeds=[0], data="gaussian", regression=True, sweep="other")
    table = build(load(str(tmp_path)))[2]
    assert table.keys == ["data", "architecture", "normalizer"]
    assert np.isnan(cell(table, "test_accuracy", "none", data="gaussian")["estimate"])
    assert cell(table, "final_train_loss", "none", data="gaussian")["n"] == 1
    write_store(tmp_path, **ONE, seeds=[0], steps=20, sweep="short")
    table = build(load(str(tmp_path), sweeps=["short", "synthetic"]))[0]
    assert table.keys == ["training", "architecture", "normalizer"]


HOSTILE: dict[str, dict[str, Any]] = {
    "one seed": {"seeds": [3]},
    "one normalizer": {"normalizers": ["layer"]},
    "one cell": {"normalizers": ["none"], "lrs": [0.1], "seeds": [0]},
    "regression": {"regression": True},
    "only training": {"tables": ["training"]},
    "no training": {"tables": ["landscape", "gradient_ics"]},
    "no records": {"tables": []},
    "half finished": {"missing": [(n, 0.1, s) for n in ("none", "layer") for s in (0, 1)]},
    "nothing finished": {
        "missing": [(n, r, s) for n in TRUTH for r in (0.01, 0.1) for s in (0, 1)]
    },
    "all failed": {"failed": [(n, r, s) for n in TRUTH for r in (0.01, 0.1) for s in (0, 1)]},
    "all diverged": {"diverge": [(n, r, s) for n in TRUTH for r in (0.01, 0.1) for s in (0, 1)]},
    "all stuck": {"stuck": [(n, r, s) for n in TRUTH for r in (0.01, 0.1) for s in (0, 1)]},
    "one row unfinished": {"missing": [("batch", r, s) for r in (0.01, 0.1) for s in (0, 1)]},
    "at once": {"steps": 2, "every": 1},
    "no noise": {"noise": 0.0},
    "very noisy": {"noise": 200.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_inputs_give_tables_with_notes(tmp_path: Path, name: str) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        write_store(tmp_path, **{**ONE, "seeds": [0, 1], **HOSTILE[name]})
    study = load(str(tmp_path))
    assert study.problems == []
    for table in build(study):
        rows = len(table.cells[table.keys].drop_duplicates())
        if "normalizer" in table.keys and table.measures:
            assert rows == study.planned["normalizer"].nunique()
        assert len(table.cells) == rows * len(table.measures)
        cells = table.cells
        assert cells.loc[cells["estimate"].isna(), "note"].str.startswith("not estimable").all()
        unsure = cells["low"].isna() & np.isfinite(cells["estimate"].astype(float))
        alone = ("largest_stable_lr", "tau_speed", "tau_test", "error_speed", "added_r2_speed")
        exact = cells["measure"].isin(alone) | (cells["estimate"] == 1)
        assert cells.loc[unsure & ~exact, "note"].str.contains("no interval").all()
        known = cells.dropna(subset="low")
        assert (known["low"] <= known["estimate"] + 1e-12).all()
        assert (known["estimate"] <= known["high"] + 1e-12).all()
        assert not cells.loc[cells["n"] == 0, "best"].any()
        assert table.caption
        assert all(measure.definition for measure in table.measures)


def test_empty_store(tmp_path: Path) -> None:
    study = load(str(tmp_path))
    assert all(table.cells.empty for table in build(study))
    assert health(study).empty
