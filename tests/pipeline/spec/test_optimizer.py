"""The optimizer in a sweep file: two forms of one cell, ids, labels, mistakes."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from analysis.study.labels import labelled
from pipeline.catalog.declarations import declared
from pipeline.spec.labels import optimizer_label
from pipeline.spec.read import Cell, SpecError, read_sweep
from tests.helpers.parts import tiny_catalog as small_parts

BASE = "name: s\nbase:\n  data: digits\n  architecture: vgg11\n  normalizer: batch\n"


def cells(folder: Path, text: str, *overrides: str) -> list[Cell]:
    path = folder / "s.yaml"
    path.write_text(BASE + text)
    return read_sweep(path, overrides).cells


def test_cells_of_before_optimizers_were_parts_keep_their_ids(tmp_path: Path) -> None:
    """Read with the last commit in which training.optimizer was one of three words."""
    trainings = (
        "{}",
        "{momentum: 0.9, weight_decay: 1e-4}",
        "{optimizer: adam, betas: [0.8, 0.99]}",
        "{optimizer: adamw, momentum: 0.5}",
    )
    found = cells(tmp_path, f"grid: {{training: [{', '.join(trainings)}]}}\n")
    assert [cell.cell_id for cell in found] == [
        "cddc1fa0b8b63adf",
        "6fd01777eaebf4f4",
        "b96b5e3c76187db5",
        "74f263494a8d2001",
    ]
    assert found[0].settings["training"]["optimizer"] == "sgd"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The small catalog."""
    small_parts.install(monkeypatch, tmp_path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("optimizer: sgd, momentum: 0.9", "optimizer: {name: sgd, momentum: 0.9}"),
        ("optimizer: sgd, momentum: 0.9", "momentum: 0.9, optimizer: {name: sgd, clip: null}"),
        ("optimizer: adam, betas: [0.8, 0.9]", "optimizer: {name: adam, betas: [0.8, 0.9]}"),
        ("optimizer: lion", "optimizer: {name: lion, betas: [0.9, 0.99], decay_norms: true}"),
    ],
)
def test_two_ways_to_write_a_cell_are_one_cell(one: str, other: str, tmp_path: Path) -> None:
    found = [cells(tmp_path, f"  training: {{{text}}}\n")[0] for text in (one, other)]
    assert found[0].cell_id == found[1].cell_id
    assert found[0].settings == found[1].settings


@pytest.mark.usefixtures("small")
def test_every_optimizer_of_a_sweep_has_a_label_and_an_id(tmp_path: Path) -> None:
    text = (
        "  training: {steps: 3}\ngrid:\n  training.optimizer: [sgd, adamw, lion, "
        "{name: sgd, momentum: 0.9, nesterov: true}, {name: lion, clip: 1}]\n"
    )
    found = cells(tmp_path, text)
    assert [cell.labels["training"] for cell in found] == [
        "momentum=0.0, optimizer=sgd",
        "optimizer=adamw",
        "optimizer=lion",
        "momentum=0.9, optimizer=sgd(nesterov=true)",
        "optimizer=lion(clip=1.0)",
    ]
    assert len({cell.cell_id for cell in found}) == 5
    assert "momentum" not in found[2].settings["training"]
    gone = {"name": "mine/gone", "rate": 1.0, "clip": None}
    assert optimizer_label(gone) == "mine/gone(rate=1.0, clip=null)"
    assert optimizer_label("SGD") == "SGD"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("trainings", "labels"),
    [
        (
            "{optimizer: {name: sgd, momentum: 0.9}}, {optimizer: adam}, {optimizer: lion}",
            ["momentum=0.9, optimizer=sgd", "optimizer=adam", "optimizer=lion"],
        ),
        (
            "{optimizer: adam, betas: [0.8, 0.9]}, {optimizer: adamw}, {optimizer: sgd}",
            [
                "betas=[0.8, 0.9], optimizer=adam",
                "betas=[0.9, 0.999], optimizer=adamw",
                "optimizer=sgd",
            ],
        ),
        ("{momentum: 0.9, lr: 0.5}, {momentum: 0.9}", ["", ""]),
        # AdamW reads no momentum, but here someone sweeps it: two cells have two labels.
        ("{optimizer: adamw, momentum: 0.5}, {optimizer: adamw}", ["momentum=0.5", ""]),
    ],
)
def test_a_label_has_what_the_optimizer_reads_or_the_sweep_varies(
    trainings: str, labels: list[str], tmp_path: Path
) -> None:
    found = cells(tmp_path, f"grid: {{training: [{trainings}]}}\n")
    assert [cell.labels["training"] for cell in found] == labels
    own = {cell.cell_id: cell.labels | {"probes": ""} for cell in found}
    again = labelled({cell.cell_id: cell.settings for cell in found}, own)
    assert [again[cell.cell_id]["training"] for cell in found] == labels


@pytest.mark.usefixtures("small")
def test_an_option_of_the_optimizer_is_swept_by_its_key(tmp_path: Path) -> None:
    text = "  training: {optimizer: lion}\ngrid: {training.optimizer.clip: [null, 0.5]}\n"
    found = [cell.settings["training"]["optimizer"]["clip"] for cell in cells(tmp_path, text)]
    assert found == [None, 0.5]
    (own,) = cells(tmp_path, "  training: {}\n", "training.optimizer={name: lion, clip: 2}")
    assert own.settings["training"]["optimizer"]["clip"] == 2


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("{training.optimizer: lion}", ["sgd", "sgd"]),
        ("{training.optimizer: sgd}", ["lion"]),
        ("{training.optimizer: {name: sgd, momentum: 0.9}}", ["sgd", "lion"]),
        ("{training.optimizer.clip: 1.0}", ["sgd", "sgd"]),
        ("{training: {optimizer: lion, lr: 0.5}}", ["sgd", "sgd", "lion"]),
    ],
)
def test_exclusion_by_optimizer(rule: str, left: list[str], tmp_path: Path) -> None:
    grid = "[sgd, {name: sgd, momentum: 0.9}, {name: lion, clip: 1}]"
    text = f"grid: {{training.optimizer: {grid}}}\nexclude: [{rule}]\n"
    found = [cell.settings["training"]["optimizer"] for cell in cells(tmp_path, text)]
    assert [each if isinstance(each, str) else each["name"] for each in found] == left


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("optimizer: loin", "optimizer: no optimizer 'loin'; did you mean 'lion'?"),
        ("optimizer: {name: lion, clip: 0}", "optimizer.clip: must be greater than 0, not 0"),
        ("optimizer: {name: lion, beta: 1}", "optimizer.beta: lion has no option 'beta'; did"),
        ("optimizer: {name: sgd, nesterov: true}", "optimizer.nesterov: needs a momentum above 0"),
        ("optimizer: {clip: 1}", "optimizer: must be a name or {name: ..., option: ...}, not"),
        ("optimizer: lion, momentum: 0.9", "momentum: lion does not read training.momentum; give"),
        (
            "momentum: 0.5, optimizer: {name: sgd, momentum: 0.9}",
            "optimizer.momentum: training.momentum is 0.5 and this is 0.9; give one of them",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_key(given: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        cells(tmp_path, f"  training: {{{given}}}\n")
    assert str(error.value).startswith(f"{tmp_path / 's.yaml'}:6: base.training.{message}")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("small")
def test_the_grid_drops_no_option_of_the_optimizer_silently(tmp_path: Path) -> None:
    text = (
        "  training: {optimizer: {name: lion, clip: 1}}\ngrid: {training.optimizer: [sgd, lion]}\n"
    )
    with pytest.raises(SpecError, match="drops clip that base gives to lion; give clip here too"):
        cells(tmp_path, text)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("*, lr: float = 1.0", "its option 'lr' is one of the training's"),
        ("*, clip: float = 1.0", "its option 'clip' is one of the training's"),
        ("*, path: Location", "its option 'path': an optimizer reads no data"),
        ("network", "a part of optimizers takes 0 positional arguments"),
    ],
)
def test_a_part_that_is_no_optimizer_is_refused(arguments: str, problem: str) -> None:
    text = f'def net({arguments}):\n    """Net."""\n'
    (function,) = ast.parse(text).body
    given: Any = function
    with pytest.raises(TypeError, match=problem):
        declared("optimizers", "m", Path("net.py"), given)
