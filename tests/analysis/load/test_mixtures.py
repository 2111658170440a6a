"""Cells of one study that were made by different code, data, threads or devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.load.sources import load
from pipeline.store.seal import sealed
from pipeline.store.store import Store
from tests.helpers.stores.small_store import SMALL, cell_of
from tests.helpers.stores.synthetic import write_store


def made_elsewhere(
    folder: Path, normalizer: str, seed: int, lr: float = 0.01, **provenance: object
) -> None:
    """Change where a cell of SMALL comes from."""
    store = Store(str(folder))
    result = store.result(cell_of(folder, normalizer, lr, seed))
    result["provenance"] |= provenance
    names = [name.removesuffix(".parquet") for name in result["records"]]
    tables = {name: store.records(result, name) for name in names}
    store.write_result(result, {name: table for name, table in tables.items() if table})


def test_mixed_commits_and_data_are_told(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    assert load(str(tmp_path)).problems == []
    made_elsewhere(tmp_path, "none", 0, commit="beef", data_digest="0dd")
    problems = "\n".join(load(str(tmp_path)).problems)
    assert "2 commits" in problems
    assert "digits has 2 different contents" in problems


def test_mixed_code_is_told_by_part(tmp_path: Path) -> None:
    """A part's code that some cells do not use is no mixture."""
    write_store(tmp_path, **SMALL)
    made_elsewhere(tmp_path, "none", 0, sources={"training": "a", "normalizers/none": "b"})
    made_elsewhere(tmp_path, "none", 1, sources={"training": "a", "normalizers/none": "c"})
    made_elsewhere(tmp_path, "batch", 0, sources={"training": "a", "normalizers/batch": "d"})
    study = load(str(tmp_path))
    assert study.problems == [
        "cells made by different code are mixed: normalizers/none (2 versions); "
        "run python -m pipeline.sweep FILE --rerun-changed"
    ]
    assert study.provenance["sources"]["normalizers/none"] == ["b", "c"]


def test_mixed_threads_are_told_by_device(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    made_elsewhere(tmp_path, "none", 0, threads=2)
    study = load(str(tmp_path))
    assert "cells computed with 1 and 2 CPU threads are mixed (cpu)" in study.problems[0]
    assert study.provenance["threads"] == {"cpu": ["1", "2"]}
    made_elsewhere(tmp_path, "none", 0, device="EPYC")
    (problem,) = load(str(tmp_path)).problems
    assert problem.startswith("devices are mixed (cells: 1 of EPYC, 7 of cpu)")


def test_threads_of_the_host_are_no_mixture_on_gpus(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    store = Store(str(tmp_path))
    for cell in store.finished():
        result = store.result(cell)
        result["cost"]["peak_memory_bytes"] = 1
        result["provenance"]["threads"] = 1 + int(cell[0], 16) % 2
        path = tmp_path / "cells" / cell / "result.json"
        path.write_text(json.dumps(sealed(result)))
    assert {store.result(cell)["provenance"]["threads"] for cell in store.finished()} == {1, 2}
    assert load(str(tmp_path)).problems == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"device": "NVIDIA H200", "device_type": "cuda"},
            "devices are mixed (cells: 1 of NVIDIA H200 (cuda), 7 of cpu): "
            "numbers differ by rounding, times do not compare",
        ),
        (
            {"precision": "tf32"},
            "precisions are mixed (cells: 7 of float32, 1 of tf32): "
            "numbers are not computed alike, times do not compare",
        ),
        (
            {"deterministic": "none"},
            "deterministic modes are mixed (cells: 7 of cudnn, 1 of none): "
            "numbers are not computed alike, times do not compare",
        ),
    ],
)
def test_mixed_devices_and_arithmetic_are_told(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    write_store(tmp_path, **SMALL)
    for normalizer in ("none", "batch"):
        for seed in (0, 1):
            for lr in (0.1, 0.01):
                made_elsewhere(
                    tmp_path, normalizer, seed, lr, precision="float32", deterministic="cudnn"
                )
    assert load(str(tmp_path)).problems == []
    made_elsewhere(tmp_path, "none", 0, **changes)
    study = load(str(tmp_path))
    assert study.problems == [expected]
    assert study.provenance["precisions"] == sorted(
        {"float32", changes.get("precision", "float32")}
    )
