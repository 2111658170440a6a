from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.spec import read as spec
from pipeline.spec import training
from pipeline.spec.read import Resources, Sweep, cadence_steps, plan, read_sweep
from tests.helpers.parts import tiny_catalog as small_parts

COMMON = {
    **{"every": None, "at": [], "log": None},
    **{"mode": "train", "batch": "step", "batch_size": None},
}
LANDSCAPE = {"lengths": 8, "ranges": ["lr"], "span": [0.5, 4.0]}
BASE = "name: s\nbase: {data: digits, architecture: vgg11, normalizer: batch}\n"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_parts.install(monkeypatch, tmp_path)


def sweep(tmp_path: Path, text: str, *overrides: str) -> Sweep:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return read_sweep(path, overrides)


def only(tmp_path: Path, text: str, *overrides: str) -> dict[str, Any]:
    (cell,) = sweep(tmp_path, text, *overrides).cells
    return cell.settings


def ids(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    return [cell.cell_id for cell in sweep(tmp_path, text, *overrides).cells]


def labels(tmp_path: Path, text: str, *overrides: str) -> list[tuple[Any, ...]]:
    cells = sweep(tmp_path, text, *overrides).cells
    return [tuple(cell.labels[k] for k in ("normalizer", "lr", "seed")) for cell in cells]


def test_quickstart_becomes_its_cells_in_order(tmp_path: Path) -> None:
    points = [
        ("none", 0.01),
        ("batch", 0.1),
        ("batch", 0.01),
        ("group(groups=8)", 0.1),
        ("group(groups=8)", 0.01),
        ("weight_standardization+group", 0.1),
        ("weight_standardization+group", 0.01),
        ("batch", 1.0),
    ]
    expected = [(*point, seed) for seed in range(3) for point in points]
    assert labels(tmp_path, small_parts.QUICKSTART) == expected


def test_a_cell_holds_every_setting(tmp_path: Path) -> None:
    read = sweep(tmp_path, small_parts.QUICKSTART)
    assert (read.name, read.description, read.resources) == (
        "quickstart",
        "one line",
        Resources(1, None),
    )
    cell = read.cells[3]
    assert cell.settings == {
        "data": {"name": "digits", "validation": 0.1},
        "architecture": {"name": "vgg11", "width": 0.25},
        "normalizer": [{"name": "group", "groups": 8, "eps": 1e-5, "affine": True}],
        "training": {
            "steps": 400,
            "batch_size": 128,
            "optimizer": "sgd",
            "lr": 0.1,
            "momentum": 0.0,
            "weight_decay": 0.0,
            "betas": [0.9, 0.999],
            "schedule": "constant",
            "warmup_steps": 0,
            "milestones": [0.5, 0.75],
            "decay": 0.1,
            "init": "glorot",
            "augment": [],
            "evaluate_every": 50,
            "evaluate_samples": None,
            "divergence_factor": 100.0,
            "precision": "float32",
        },
        "probes": {
            "gradient_ics": {**COMMON, "every": 50, "parameters": "weights"},
            "landscape": {**COMMON, "at": [1, 3], "log": 5, **LANDSCAPE},
        },
        "seed": 0,
    }
    assert cell.labels == {
        "data": "digits",
        "architecture": "vgg11(width=0.25)",
        "normalizer": "group(groups=8)",
        "lr": 0.1,
        "seed": 0,
        "training": "",
    }


def test_the_id_of_a_known_cell(tmp_path: Path) -> None:
    """A change here makes every finished cell unfinished: raise CELL_VERSION with it."""
    assert ids(tmp_path, small_parts.QUICKSTART)[0] == "d8d9e97153e80998"


@pytest.mark.parametrize(
    "other",
    [
        "name: t\nbase: {data: digits, architecture: vgg11, normalizer: batch}\n",
        BASE + "description: other words\n",
        BASE + "resources: {cpus: 2, gpus: 0.5}\n",
        "base: {normalizer: batch, architecture: vgg11, data: digits}\nname: s\n",
        BASE + "grid: {architecture.width: [1]}\n",
        BASE + "grid: {training.lr: [1e-1], training.steps: [400]}\n",
        BASE.replace("vgg11", "{width: 1, name: vgg11}"),
        BASE.replace("batch", "[{eps: 1e-05, name: batch}]"),
    ],
)
def test_an_id_does_not_depend_on_what_cannot_change_numbers(tmp_path: Path, other: str) -> None:
    assert ids(tmp_path, other) == ids(tmp_path, BASE)


@pytest.mark.parametrize(
    "change",
    [
        "training.steps=401",
        "training.precision=bfloat16",
        "architecture.width=0.5",
        "seeds=[1]",
        "probes.landscape.every=1",
    ],
)
def test_an_id_depends_on_what_can(tmp_path: Path, change: str) -> None:
    assert ids(tmp_path, BASE, change) != ids(tmp_path, BASE)


@pytest.mark.parametrize(
    "path", ["/x/cifar", "/y/z/cifar/", "cifar", "s3://b/cifar", "s3://cifar/"]
)
def test_an_id_knows_the_last_part_of_a_location_only(tmp_path: Path, path: str) -> None:
    text = BASE.replace("digits", "parquet")
    assert ids(tmp_path, text, f"data.path={path}") == ids(tmp_path, text, "data.path=/a/cifar")
    assert ids(tmp_path, text, f"data.path={path}") != ids(tmp_path, text, "data.path=/a/svhn")
    (cell,) = sweep(tmp_path, text, f"data.path={path}").cells
    assert cell.settings["data"]["path"] == path
    assert cell.labels["data"] == "parquet(path=cifar)"


def test_duplicate_cells_are_merged(tmp_path: Path) -> None:
    text = BASE + "grid: {training.lr: [0.1, 0.10, 1e-1]}\ninclude: [{}]\nseeds: [4, 4]\n"
    assert labels(tmp_path, text) == [("batch", 0.1, 4)]


def test_training_label_names_what_varies(tmp_path: Path) -> None:
    text = BASE + "grid: {training.steps: [400, 500]}\ninclude: [{training.momentum: 0.9}]\n"
    found = [cell.labels["training"] for cell in sweep(tmp_path, text).cells]
    assert found == [
        "momentum=0.0, steps=400",
        "momentum=0.0, steps=500",
        "momentum=0.9, steps=400",
    ]


def test_an_option_applies_to_every_part_that_the_grid_names(tmp_path: Path) -> None:
    text = BASE + "grid: {architecture.width: [0.5], architecture: [vgg11, resnet20]}\n"
    found = [cell.labels["architecture"] for cell in sweep(tmp_path, text).cells]
    assert found == ["vgg11(width=0.5)", "resnet20(width=0.5)"]


def test_probes_can_vary(tmp_path: Path) -> None:
    text = BASE + "probes: {landscape: {every: 9}}\ngrid: {probes.landscape.every: [9, 5]}\n"
    assert [c.settings["probes"]["landscape"]["every"] for c in sweep(tmp_path, text).cells] == [
        9,
        5,
    ]


def test_a_plan_is_the_whole_sweep_as_json(tmp_path: Path) -> None:
    read = sweep(tmp_path, small_parts.QUICKSTART)
    planned = json.loads(json.dumps(plan(read)))
    assert (planned["schema"], planned["name"]) == (3, "quickstart")
    assert planned["cells"] == [cell.cell_id for cell in read.cells]
    for cell in read.cells:
        assert planned["settings"][cell.cell_id] == cell.settings
        assert planned["labels"][cell.cell_id] == cell.labels
        assert spec.identify(planned["settings"][cell.cell_id]) == cell.cell_id


def cadence(**given: Any) -> dict[str, Any]:
    return {"every": None, "at": [], "log": None, **given}


def test_cadence_steps() -> None:
    assert cadence_steps(cadence(every=4), 10) == {0, 4, 8}
    assert cadence_steps(cadence(at=[0, 9]), 10) == {0, 9}
    assert cadence_steps(cadence(at=[-10, -3, -1, 9]), 10) == {0, 7, 9}
    assert cadence_steps(cadence(every=5, at=[1], log=2), 10) == {0, 1, 5, 9}
    assert cadence_steps(cadence(log=4), 1000) == {0, 9, 99, 999}
    assert cadence_steps(cadence(log=1), 1000) == {0}
    assert cadence_steps(cadence(log=99), 7) == set(range(7))


def test_log_cadence_has_as_many_steps_as_asked() -> None:
    for steps in (1, 2, 3, 10, 97, 400):
        for count in range(1, steps + 1):
            chosen = cadence_steps(cadence(log=count), steps)
            assert len(chosen) == count
            assert min(chosen) == 0
            assert max(chosen) == (steps - 1 if count > 1 else 0)


def test_ten_thousand_cells_are_read_setting_by_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is checked is every value once, not every cell."""
    asked: list[str] = []
    check = training.validate
    seen = asked.append
    monkeypatch.setattr(
        training, "validate", lambda model, value, key: seen(key) or check(model, value, key)
    )
    rates = ", ".join(f"{i}e-3" for i in range(1, 126))
    text = small_parts.QUICKSTART.replace("[0.1, 0.01]", f"[{rates}]").replace(
        "seeds: 3", "seeds: 20"
    )
    assert len(sweep(tmp_path, text).cells) == 10_000
    assert 125 <= len(asked) < 300
