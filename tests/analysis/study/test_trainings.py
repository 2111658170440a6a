"""Cells that differ in their probes alone are one training, which counts once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import answers
from analysis.load.sources import load
from analysis.render import table_files
from analysis.report.command import main
from analysis.study.study import Study
from analysis.tables import tables
from analysis.tables.variants import with_variants
from pipeline.store.store import Store
from tests.helpers.stores.synthetic import write_store
from tests.helpers.training.probe_sweeps import add_variant, join, lengths

GRID: dict[str, Any] = {
    "architectures": ["vgg11"],
    "normalizers": ["none", "batch"],
    "lrs": [0.1],
    "seeds": [0, 1, 2],
    "diverge": [],
}
RANGE = "landscape_loss_range_relative_early"
ICS = "gradient_ics_relative_early"


def table(made: list[tables.Table], name: str) -> pd.DataFrame:
    (found,) = [each for each in made if each.name.startswith(name)]
    return table_files.wide(found)


def all_tables(study: Study) -> list[tables.Table]:
    basis = tables.TableInputs(study)
    return with_variants(basis, tables.build_tables(basis))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``synthetic`` with landscapes of unset lengths; ``swept`` has each cell with 4 and with 6.

    What 6 lengths find is three times what 4 do.
    """
    folder = tmp_path_factory.mktemp("swept")
    write_store(folder, **GRID)
    add_variant(folder, lengths(4), name="four")
    add_variant(folder, lengths(6), name="six", factor=3.0)
    join(folder, ["four", "six"], "swept")
    return folder


def test_a_swept_probe_option_is_a_column_and_counts_each_training_once(swept: Path) -> None:
    study = load(str(swept), sweeps=["swept"])
    assert len(study.runs) == 12
    assert set(study.runs["probes"]) == {"landscape.lengths=4", "landscape.lengths=6"}
    made = all_tables(study)
    smoothness = table(made, "table2").set_index(["probes", "normalizer"])
    assert list(smoothness.index) == [
        (f"landscape.lengths={count}", name) for count in (4, 6) for name in ("none", "batch")
    ]
    assert set(smoothness[f"{RANGE}_n"]) == {3}
    for count, name in ((4, "four"), (6, "six")):
        own = smoothness.xs(f"landscape.lengths={count}")
        alone = all_tables(load(str(swept), sweeps=[name]))
        expected = table(alone, "table2").set_index("normalizer")
        assert isinstance(own, pd.DataFrame)
        pd.testing.assert_frame_equal(own, expected.loc[own.index], check_names=False)
    four, six = smoothness[RANGE].to_numpy().reshape(2, 2)
    assert six / four == pytest.approx(3.0)


def test_what_no_probe_sweeps_is_as_from_one_of_them(swept: Path) -> None:
    both, one = (load(str(swept), sweeps=[name]) for name in ("swept", "four"))
    made, alone = all_tables(both), all_tables(one)
    for name in ("table1", "table3", "table4"):
        pd.testing.assert_frame_equal(table(made, name), table(alone, name))
    assert set(table(made, "table3")["final_train_loss_n"]) == {3}
    assert "probes" not in table(made, "table1")
    said = [
        answers.build(tables.TableInputs(s), tables.build_tables(tables.TableInputs(s)))
        for s in (both, one)
    ]
    assert repr(said[0]) == repr(said[1])  # equal where NaN is NaN


def test_health_counts_cells_and_says_how_many_trainings(
    undrawn: None, swept: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    where = ["--storage", str(swept), "--tracking", "none", "--out", str(out)]
    assert main(["swept", *where]) == 0
    page = (out / "report.md").read_text()
    assert "12 cells planned = 12 ok" in page
    assert "12 finished cells are 6 trainings" in page
    assert "measured in 6 runs" in page
    assert "landscape.lengths=6" in (out / "tables" / "table2_smoothness.csv").read_text()
    assert "answers, the relations and figures read landscape.lengths=4" in page


def test_probes_of_two_sweeps_of_the_same_trainings_are_read_together(swept: Path) -> None:
    """One sweep has landscapes, another one gradient ICS: one table each, no training twice."""
    for name in ("landscape", "gradient_ics"):
        add_variant(swept, lambda probes, name=name: {name: probes[name]}, name=f"only-{name}")
    names = ["only-landscape", "only-gradient_ics"]
    made = all_tables(load(str(swept), sweeps=names))
    whole = all_tables(load(str(swept), sweeps=["synthetic"]))
    for column, name in ((RANGE, "table2"), (ICS, "table1")):
        own, expected = (table(each, name).set_index("normalizer") for each in (made, whole))
        pd.testing.assert_series_equal(own[column], expected[column])
        assert set(own[f"{column}_n"]) == {3}
    assert set(table(made, "table3")["final_train_loss_n"]) == {3}


def test_blocks_that_were_probed_differently_keep_their_readings(tmp_path: Path) -> None:
    """Two architectures, each with landscapes of its own: none of them is left out of answers."""
    write_store(tmp_path, **GRID)
    write_store(tmp_path, **{**GRID, "architectures": ["resnet20"]}, sweep="deep")
    add_variant(tmp_path, lengths(6), of="deep", name="deep-six")
    study = load(str(tmp_path), sweeps=["synthetic", "deep-six"])
    basis = tables.TableInputs(study)
    found = table(tables.build_tables(basis), "table2").set_index(["architecture", "normalizer"])
    assert set(found[f"{RANGE}_n"]) == {3}
    assert basis.trainings.read == ["landscape.lengths=6", "landscape.lengths=null"]


@pytest.mark.parametrize("what", ["curve", "status"])
def test_cells_of_one_training_that_disagree_are_named(tmp_path: Path, what: str) -> None:
    write_store(tmp_path, **GRID)
    add_variant(tmp_path, lengths(6), name="six")
    assert load(str(tmp_path)).problems == []
    store = Store(str(tmp_path))
    result = store.result(store.plan("six")["cells"][0])
    training = store.records(result, "training")
    assert training is not None
    if what == "curve":
        losses = training.column("train_loss").to_pylist()
        losses[7] += 2.0**-40
        place = training.column_names.index("train_loss")
        training = training.set_column(place, "train_loss", [losses])
    else:
        result = {**result, "status": "diverged", "diverged_step": 39}
    store.write_result(result, {"training": training})
    (line,) = load(str(tmp_path)).problems
    assert "differ in their probes alone, yet" in line
    assert result["cell_id"] in line
    assert ("bit for bit" if what == "curve" else "one ended diverged and one ok") in line


def test_a_curve_that_a_time_limit_cut_agrees_with_the_whole_one(tmp_path: Path) -> None:
    write_store(tmp_path, **GRID)
    add_variant(tmp_path, lengths(6), name="six")
    store = Store(str(tmp_path))
    result = store.result(store.plan("six")["cells"][0])
    training = store.records(result, "training")
    assert training is not None
    store.write_result({**result, "status": "time_limit"}, {"training": training.slice(0, 20)})
    study = load(str(tmp_path))
    assert study.problems == []
    runs = tables.TableInputs(study).runs
    assert len(runs) == 6
    assert set(runs["status"]) == {"ok"}


def test_options_without_a_finished_cell_leave_the_others_as_they_are(tmp_path: Path) -> None:
    write_store(tmp_path, **GRID)
    for count, name in ((4, "four"), (6, "six")):
        add_variant(tmp_path, lengths(count), name=name)
    store = Store(str(tmp_path))
    for cell in store.plan("six")["cells"]:
        store.clear_outcome(cell)
    join(tmp_path, ["four", "six"], "swept")
    smoothness = table(all_tables(load(str(tmp_path), sweeps=["swept"])), "table2")
    runs = smoothness.groupby("probes")[f"{RANGE}_n"].sum().to_dict()
    assert runs == {"landscape.lengths=4": 6}
