from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.comparison import Against, against
from analysis.load.sources import load
from analysis.report.command import main
from analysis.statistics import estimates
from analysis.text.sentences import Number
from tests.helpers.stores import synthetic as synthetic
from tests.helpers.stores.synthetic import Truth, write_store

GRID: dict[str, Any] = {
    "architectures": ["vgg11(width=0.25)"],
    "normalizers": ["none", "batch"],
    "seeds": [0, 1, 2, 3],
    "diverge": [],
}
SMOOTHNESS = "landscape_gradient_difference_relative_early"


def compared(here: Path, there: Path) -> Against:
    return against(load(str(here)), load(str(there)))


def cell(found: Against, measure: str, normalizer: str) -> Any:
    cells = found.table.cells
    chosen = cells[(cells["measure"] == measure) & (cells["normalizer"] == normalizer)]
    assert len(chosen) == 1
    return chosen.iloc[0]


@pytest.fixture(scope="module")
def rougher(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two sweeps: in the second batch is twice as rough, and so it is for `batch` alone."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    write_store(here, **GRID, sweep="new", rng_seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(synthetic.TRUTH, "batch", Truth(4, 5, 0.4))
        write_store(there, **GRID, sweep="old")
    return here, there


def test_a_planted_change_is_found_and_no_other(rougher: tuple[Path, Path]) -> None:
    found = compared(*rougher)
    batch, none = cell(found, SMOOTHNESS, "batch"), cell(found, SMOOTHNESS, "none")
    assert batch["low"] < 0.5 < batch["high"]
    assert batch["best"]
    assert batch["note"].startswith("8 pairs; p ")
    assert none["low"] < 1 < none["high"]
    assert not none["best"]
    told = [claim.verdict for claim in found.claims]
    assert len(told) == found.table.cells["best"].sum()
    assert any("gradient change" in str(verdict) for verdict in told)
    assert found.table.cells["p_holm"].ge(found.table.cells["p"]).all()


def test_other_seeds_are_compared_unpaired(rougher: tuple[Path, Path], tmp_path: Path) -> None:
    write_store(tmp_path, **{**GRID, "seeds": [7, 8, 9]}, sweep="new")
    batch = cell(compared(tmp_path, rougher[1]), SMOOTHNESS, "batch")
    assert batch["low"] < 0.5 < batch["high"] < 1
    assert batch["note"].startswith("unpaired, 6 and 8 runs; p ")
    assert batch["best"]


def test_the_same_cells_have_not_changed(rougher: tuple[Path, Path]) -> None:
    found = compared(rougher[0], rougher[0])
    ratios = found.table.cells[found.table.cells["measure"].isin([SMOOTHNESS, "steps_to_target"])]
    assert (ratios[["estimate", "low", "high", "p"]] == 1).to_numpy().all()
    assert found.settings == []
    assert found.claims == []
    said = {p.key: p.value for s in found.sentences for p in s if isinstance(p, Number)}
    assert said["against/same"] == 16
    assert said["against/compared"] == len(found.table.cells["estimate"].dropna())


def test_both_are_held_to_one_target(tmp_path: Path) -> None:
    """A sweep of slower runs must not get an easier target than the one it is compared with."""
    one = {**GRID, "normalizers": ["batch"]}
    write_store(tmp_path / "here", **one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(synthetic.TRUTH, "batch", Truth(2, 5, 0.2))
        write_store(tmp_path / "there", **one)
    batch = cell(compared(tmp_path / "here", tmp_path / "there"), "steps_to_target", "batch")
    assert batch["high"] < 0.9


def test_what_was_set_differently_is_listed(rougher: tuple[Path, Path], tmp_path: Path) -> None:
    write_store(tmp_path, **{**GRID, "normalizers": ["batch", "layer"]}, steps=30)
    found = compared(rougher[0], tmp_path)
    assert ("training.steps", "40", "30") in found.settings
    assert [name for name, *_ in found.settings] == ["normalizer", "training.steps"]
    assert set(found.table.cells["normalizer"]) == {"batch"}  # the row that both have


def test_nothing_in_common_is_an_empty_table(rougher: tuple[Path, Path], tmp_path: Path) -> None:
    write_store(tmp_path, **{**GRID, "architectures": ["mlp"]})
    found = compared(rougher[0], tmp_path)
    assert found.table.cells.empty
    assert found.table.measures == []


def test_divergences_are_compared_as_rates(tmp_path: Path) -> None:
    every = [("none", lr, seed) for lr in (0.01, 0.1) for seed in range(4)]
    write_store(tmp_path / "here", **{**GRID, "diverge": every})
    write_store(tmp_path / "there", **GRID)
    rate = cell(compared(tmp_path / "here", tmp_path / "there"), "divergence_rate", "none")
    assert rate["estimate"] == 100
    assert 0 < rate["low"] < rate["high"] <= 100
    assert rate["note"].startswith("unpaired, 8/8 and 0/8; p 0.00016")


def test_difference_of_rates_is_newcombes() -> None:
    # Newcombe, Statistics in Medicine 1998, example (a), method 10: 56/70 − 48/80
    found = estimates.apart(estimates.wilson(56, 70), estimates.wilson(48, 80))
    assert found[:3] == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert found.n == 150


def test_shuffling_agrees_with_all_deals() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=4), rng.normal(0.8, size=4)
    pool = np.concatenate([one, two])
    deals = [list(deal) for deal in itertools.combinations(range(8), 4)]
    apart = [abs(pool[d].sum() - np.delete(pool, d).sum()) for d in deals]
    exact = np.mean(np.array(apart) >= abs(one.sum() - two.sum()) - 1e-12)
    p, least = estimates.shuffled(one, np.zeros(4), two, np.zeros(4), rng)
    assert p == pytest.approx(exact, abs=0.03)
    assert least == 2 / 70


def test_shuffling_stays_within_strata() -> None:
    """Strata far apart hide nothing: all of one above all of two within each."""
    one, two = (
        np.array([1.0, 1.1, 1.2, 101.0, 101.1, 101.2]),
        np.array([0, 0.1, 0.2, 100, 100.1, 100.2]),
    )
    strata = np.repeat([0, 1], 3)
    p, least = estimates.shuffled(one, strata, two, strata, np.random.default_rng(0))
    assert least == 2 / 400
    assert p < 0.02
    assert (
        estimates.shuffled(one[:1], strata[:1], two[:1], strata[:1], np.random.default_rng(0))[1]
        == 1
    )


@pytest.mark.parametrize(("sizes", "strata"), [((3, 3), 1), ((5, 4), 1), ((6, 6), 2)])
def test_unpaired_intervals_cover(sizes: tuple[int, int], strata: int) -> None:
    rng = np.random.default_rng(3)

    def covers() -> bool:
        one, two = (rng.normal(size=size) for size in sizes)
        labels = [np.arange(size) % strata for size in sizes]
        found = estimates.shift(one, labels[0], two, labels[1], rng)
        return found.low <= 0 <= found.high

    assert 0.92 <= np.mean([covers() for _ in range(500)]) <= 0.985


def test_single_values_have_no_interval() -> None:
    one, nought = np.array([3.0]), np.zeros(1)
    found = estimates.shift(one, nought, 2 * one, nought, np.random.default_rng(0))
    assert found[0] == -3
    assert np.isnan(found[1:3]).all()


def failing(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_the_command_adds_a_section_and_files(
    undrawn: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {**GRID, "seeds": [0, 1], "steps": 20}
    write_store(tmp_path / "a", **small, sweep="new", tables=["training"])
    write_store(tmp_path / "b", **small, sweep="old", tables=["training"], noise=0.1)
    damaged = next((tmp_path / "b" / "cells").glob("*/training.parquet"))
    damaged.write_bytes(b"not parquet")
    store = ("--storage", str(tmp_path / "a"))
    other = ("--against", "old", "--against-storage", str(tmp_path / "b"))
    assert main(["new", *store, *other, "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h2>Against old</h2>" in page
    assert damaged.parent.name in page  # named among the problems
    assert "## Against old" in (tmp_path / "out" / "report.md").read_text()
    table = pd.read_csv(tmp_path / "out" / "tables" / "against.csv")
    assert {"steps_to_target", "steps_to_target_p_holm"} <= set(table)
    assert json.loads((tmp_path / "out" / "results.json").read_text())["against/runs_there"] == {
        "printed": "7",
        "value": 7,
    }
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["command"] == "python -m analysis.report new --against old --seed 0"
    assert manifest["against"]["sweeps"] == ["old"]
    assert "say which SWEEP" in failing(capsys, *store, *other)
    assert "with itself" in failing(capsys, "new", *store, "--against", "new")
    assert "no sweep 'old'" in failing(capsys, "new", *store, "--against", "old")
    assert "give both" in failing(capsys, "new", *store, "--against-storage", "x")
