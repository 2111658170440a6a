from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.spec.read import Resources, SpecError, read_sweep
from tests.helpers.parts import tiny_catalog as small_parts


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_parts.install(monkeypatch, tmp_path)


def written(folder: Path) -> Path:
    path = folder / "s.yaml"
    path.write_text(small_parts.QUICKSTART)
    return path


def test_overrides_reach_every_part_of_a_file(tmp_path: Path) -> None:
    changes = [
        "seeds=[5]",
        "data=parquet",
        "data.path=/x/y",
        "base.training.momentum=0.9",
        "grid.training.lr=[1e-3]",
        "grid.normalizer=[none]",
        "probes.landscape.every=10",
        "resources.gpus=0.5",
        "include=[]",
        "exclude=[]",
    ]
    read = read_sweep(written(tmp_path), changes)
    (cell,) = read.cells
    assert cell.labels == {
        "data": "parquet(path=y)",
        "architecture": "vgg11(width=0.25)",
        "normalizer": "none",
        "lr": 0.001,
        "seed": 5,
        "training": "",
    }
    assert cell.settings["training"]["momentum"] == 0.9
    assert cell.settings["probes"]["landscape"]["every"] == 10
    assert read.resources == Resources(1, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "training.lr=1",
            "training.lr: has no effect, since the grid varies training.lr; use --set",
        ),
        (
            "base.training.lr=1",
            "base.training.lr: has no effect, since the grid varies training.lr",
        ),
        (
            "normalizer.groups=4",
            "normalizer.groups: has no effect, since the grid varies normalizer",
        ),
        ("seeds", "seeds: has no value; give it as KEY=VALUE"),
        ("lr=1", "lr: no such key; did you mean 'training.lr'? known: "),
        ("trainng.steps=1", "trainng.steps: no such key; did you mean 'training.steps'? known: "),
        (
            "training.steps=0",
            "training.steps: base.training.steps: must be greater than or equal to",
        ),
        (
            "training.stps=1",
            "training.stps: base.training.stps: training has no option 'stps'; did",
        ),
        ("training.steps=[1", "training.steps: base.training.steps: the value is not valid YAML"),
        ("seeds.a=1", "seeds.a: 3 has no option 'a'"),
        ("seeds={a: 1}", "seeds: must be a number of seeds from 1 to 100000, or a list"),
        ("probes.landscap.at=[1]", "probes.landscap.at: probes.landscap: no probe 'landscap'; did"),
        (
            "grid.training.lr=[a]",
            "grid.training.lr: grid.training.lr[0]: must be a number, not 'a'",
        ),
        ("training.steps=2", None),
    ],
)
def test_errors_of_overrides_name_the_override(
    tmp_path: Path, change: str, message: str | None
) -> None:
    with pytest.raises(SpecError) as caught:
        read_sweep(written(tmp_path), [change])
    expected = f"{tmp_path / 's.yaml'}: --set {message}"
    if message is None:  # what breaks is elsewhere: a probe asks for a step that is gone
        expected = f"{tmp_path / 's.yaml'}:18: probes.landscape.at: there is no step 3 of 2 steps"
    assert str(caught.value).startswith(expected)


MERGED = """
name: s
base: {data: digits, architecture: vgg11, normalizer: batch, training: {steps: 9}}
grid:
  training: [{lr: 0.5}, {lr: 0.1, weight_decay: 0.1}]
  probes.landscape: [{lengths: 4}, {lengths: 8}]
probes: {landscape: {every: 5, lengths: 2}}
"""


@pytest.mark.parametrize(
    ("change", "acts"),
    [
        ("training.steps=7", True),
        ("base.training.weight_decay=0.5", True),  # in the first of the grid's two trainings
        ("training.lr=1", False),
        ("training={lr: 1}", False),
        ("probes.landscape.every=7", True),
    ],
)
def test_what_a_merged_value_of_the_grid_leaves_to_base_can_be_overridden(
    tmp_path: Path, change: str, acts: bool
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(MERGED)
    before = read_sweep(path).cells
    if acts:
        after = read_sweep(path, [change]).cells
        assert [c.cell_id for c in after] != [c.cell_id for c in before]
    else:
        with pytest.raises(SpecError, match="has no effect, since the grid varies training"):
            read_sweep(path, [change])
