"""Several sweeps in one report: a cell that two of them have belongs to both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import answers
from analysis.comparison import against
from analysis.load.sources import load
from analysis.render import table_files
from analysis.report.command import main
from analysis.study.study import Study
from analysis.tables import tables
from tests.helpers.stores.synthetic import write_store

SMALL: dict[str, Any] = {
    "architectures": ["vgg11"],
    "normalizers": ["none", "batch"],
    "lrs": [0.1],
    "seeds": [0, 1, 2],
    "diverge": [],
}
LONG: dict[str, Any] = {**SMALL, "normalizers": ["none", "layer"], "steps": 80}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``few`` is within ``many``; ``lengths`` has the cells of ``few`` and twice as long ones."""
    folder = tmp_path_factory.mktemp("shared")
    write_store(folder, **SMALL, sweep="few")
    write_store(folder, **{**SMALL, "normalizers": ["none", "batch", "layer"]}, sweep="many")
    write_store(folder, **LONG, sweep="long")
    return folder


def written(study: Study) -> tuple[list[pd.DataFrame], list[Any]]:
    """Tables and answers."""
    basis = tables.TableInputs(study)
    made = tables.build_tables(basis)
    return [table_files.wide(table) for table in made], answers.build(basis, made)


def test_a_sweep_within_another_changes_nothing(folder: Path) -> None:
    both, alone = load(str(folder), sweeps=["few", "many"]), load(str(folder), sweeps=["many"])
    (tables_of_both, said), (expected, said_alone) = written(both), written(alone)
    for one, other in zip(tables_of_both, expected, strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert list(map(repr, said)) == list(map(repr, said_alone))  # equal where NaN is NaN
    assert len(both.runs) == 9


def test_cells_of_both_are_in_one_row_beside_those_of_other_settings(folder: Path) -> None:
    """The labels of cells that two sweeps share do not depend on the sweep."""
    study = load(str(folder))
    assert set(study.planned["training"]) == {"steps=40", "steps=80"}
    labels = study.planned.groupby("cell_id")["training"].nunique()
    assert set(labels) == {1}
    training = written(study)[0][2].set_index(["training", "normalizer"])
    assert list(training.index) == [
        ("steps=40", "none"),
        ("steps=40", "batch"),
        ("steps=40", "layer"),
        ("steps=80", "none"),
        ("steps=80", "layer"),
    ]
    assert set(training["final_train_loss_n"]) == {3}


def test_health_counts_a_shared_cell_in_both_and_once_in_all(
    undrawn: None, folder: Path, tmp_path: Path
) -> None:
    study = load(str(folder), sweeps=["few", "many"])
    rows = tables.health(study).groupby("sweep")["ok"].sum().to_dict()
    assert rows == {"few": 6, "many": 9}
    assert tables.totals(study)["planned"] == 9
    out = tmp_path / "out"
    where = ["--storage", str(folder), "--tracking", "none", "--out", str(out)]
    assert main(["few", "many", *where]) == 0
    page = (out / "report.md").read_text()
    assert "9 cells planned = 9 ok" in page
    assert "6 cells belong to several sweeps" in page
    assert json.loads((out / "results.json").read_text())["health/shared"]["value"] == 6


def test_against_compares_shared_cells_whatever_varies_in_one_sweep_alone(tmp_path: Path) -> None:
    """In one sweep the steps vary, in the other they do not: the shared cells are compared."""
    write_store(tmp_path, **SMALL, sweep="one")
    write_store(tmp_path, **{**SMALL, "steps": 80}, sweep="other")
    here = load(str(tmp_path), sweeps=["one", "other"])
    there = load(str(tmp_path), sweeps=["one"])
    assert set(here.runs["training"]) == {"steps=40", "steps=80"}
    assert set(there.runs["training"]) == {""}
    found = against(here, there)
    rows = found.table.cells.query("measure == 'final_train_loss'").set_index("normalizer")
    assert rows["estimate"].to_dict() == {"none": 1.0, "batch": 1.0}
    assert (rows["note"].str.startswith("3 pairs") | rows["note"].str.contains("pair")).all()


def test_parts_of_one_label_and_unlike_settings_are_told_apart(tmp_path: Path) -> None:
    """Two folders of one name: the label of the data adds where each is."""
    from pipeline.store.store import Store

    write_store(tmp_path, **SMALL, sweep="one")
    write_store(tmp_path, **SMALL, sweep="other", every=4)
    store = Store(str(tmp_path))
    for name, path in (("one", "/a/x"), ("other", "/b/x")):
        plan = store.plan(name)
        for settings in plan["settings"].values():
            settings["data"] = {"name": "parquet", "path": path}
            settings["training"]["evaluate_every"] = 5
            settings["probes"] = {}
        store.write_plan(plan)
    study = load(str(tmp_path))
    assert set(study.planned["data"]) == {
        "digits (data.path=/a/x)",
        "digits (data.path=/b/x)",
    }
    assert set(study.planned["training"]) == {""}
