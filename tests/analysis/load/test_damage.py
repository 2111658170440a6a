"""Files that are damaged, edited, missing or of another version: named, and their cells absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.load.sources import load
from pipeline.store.filesystem import SCHEMA
from pipeline.store.seal import sealed
from pipeline.store.store import StoreError
from tests.helpers.stores.small_store import SMALL, cell_of, plan_file
from tests.helpers.stores.synthetic import write_store


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("file", ["result.json", "landscape.parquet", "training.parquet"])
def test_a_damaged_file_is_named_and_its_cell_absent(tmp_path: Path, file: str) -> None:
    write_store(tmp_path, **SMALL)
    cell = cell_of(tmp_path, "batch", 0.1, 0)
    damage(tmp_path / "cells" / cell / file)
    study = load(str(tmp_path))
    assert len(study.problems) == 1
    assert file in study.problems[0]
    assert cell in study.problems[0]
    assert study.planned.set_index("cell_id")["status"][cell] == "absent"
    assert cell not in set(study.runs["cell_id"])
    assert cell not in set(study.records["training"]["cell_id"])
    with pytest.raises(StoreError, match=file):
        load(str(tmp_path), strict=True)


def of_version(path: Path, schema: int) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))


def test_a_cell_of_another_schema_version_is_refused_in_one_line(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    cell = cell_of(tmp_path, "batch", 0.1, 0)
    of_version(tmp_path / "cells" / cell / "result.json", SCHEMA - 1)
    study = load(str(tmp_path))
    line = f"{cell}/result.json: schema {SCHEMA - 1}, this version reads {SCHEMA}"
    assert [problem.endswith(line) for problem in study.problems] == [True]
    assert study.planned.set_index("cell_id")["status"][cell] == "absent"
    with pytest.raises(StoreError, match=f"schema {SCHEMA - 1}"):
        load(str(tmp_path), strict=True)


def test_a_sweep_of_another_schema_version_is_refused_in_one_line(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    write_store(tmp_path, **SMALL, sweep="newer", steps=20)
    file = plan_file(tmp_path, "newer")
    of_version(file, SCHEMA + 1)
    study = load(str(tmp_path))
    line = f"newer/{file.name}: schema {SCHEMA + 1}, this version reads {SCHEMA}"
    assert [problem.endswith(line) for problem in study.problems] == [True]
    assert set(study.planned["sweep"]) == {"synthetic"}


@pytest.mark.parametrize("key", ["summary", "cost", "settings", "provenance", "status", "records"])
def test_a_result_without_its_parts_is_named(tmp_path: Path, key: str) -> None:
    write_store(tmp_path, **SMALL)
    path = tmp_path / "cells" / cell_of(tmp_path, "none", 0.01, 0) / "result.json"
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(sealed(content)))
    assert "not what a trial writes" in load(str(tmp_path)).problems[0]


@pytest.mark.parametrize("value", [9.0, float("nan")])
def test_a_number_that_was_edited_by_hand_is_named_and_counts_nowhere(
    tmp_path: Path, value: float
) -> None:
    write_store(tmp_path, **SMALL)
    cell = cell_of(tmp_path, "none", 0.01, 0)
    path = tmp_path / "cells" / cell / "result.json"
    content = json.loads(path.read_text())
    content["summary"]["test_accuracy"] = value
    path.write_text(json.dumps(content))
    study = load(str(tmp_path))
    assert f"{cell}/result.json: " in study.problems[0]
    assert cell not in set(study.runs["cell_id"])


def test_results_without_a_digest_of_their_own_are_counted(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    path = tmp_path / "cells" / cell_of(tmp_path, "none", 0.01, 0) / "result.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    path.write_text(json.dumps(content))
    (line,) = load(str(tmp_path)).problems
    assert line.startswith("results without a digest of their own: 1 cells")


def test_a_deleted_record_file_is_named(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    cell = cell_of(tmp_path, "none", 0.01, 0)
    (tmp_path / "cells" / cell / "moment_ics.parquet").unlink()
    assert "moment_ics.parquet" in load(str(tmp_path)).problems[0]


def test_a_damaged_plan_is_named(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    write_store(tmp_path, **SMALL, sweep="other", steps=20)
    damage(plan_file(tmp_path, "other"))
    study = load(str(tmp_path))
    assert "sweeps/other/" in study.problems[0]
    assert len(study.planned) == 8


@pytest.mark.parametrize("labels", [{}, {"lr": "fast"}, {"seed": None}])
def test_a_plan_with_wrong_labels_is_named(tmp_path: Path, labels: dict[str, object]) -> None:
    write_store(tmp_path, **SMALL)
    path = plan_file(tmp_path)
    plan = json.loads(path.read_text())
    cell = plan["cells"][0]
    plan["labels"][cell] = {**plan["labels"][cell], **labels} if labels else {}
    path.write_text(json.dumps(plan))
    study = load(str(tmp_path))
    assert "sweeps/synthetic/" in study.problems[0]
    assert study.planned.empty
