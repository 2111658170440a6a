"""Other values under a name: ``profiles`` of a sweep file and ``--profile``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli.mistakes import SpecError
from pipeline.spec.read import read_sweep
from pipeline.sweep.status import CommandOptions, reproduction

TEXT = """\
name: s
base: {data: digits, architecture: vgg11, normalizer: batch, training: {steps: 100, lr: 0.1}}
grid: {training.lr: [0.1, 0.01]}
probes: {landscape: {every: 50, lengths: 8}}
profiles:
  cpu:
    base.training.steps: 10
    base.architecture: {name: vgg11, width: 0.25}
    grid.training.lr: [0.5]
    probes.landscape.lengths: 4
    seeds: 2
  wrong: {base.trainign.steps: 10}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(TEXT)
    return path


def test_without_a_profile_none_counts(file: Path) -> None:
    full = read_sweep(file)
    file.write_text(TEXT[: TEXT.index("profiles:")])
    assert [cell.cell_id for cell in full.cells] == [c.cell_id for c in read_sweep(file).cells]
    assert (full.name, full.profile, len(full.cells)) == ("s", None, 2)


def test_a_profile_changes_what_it_names(file: Path) -> None:
    small = read_sweep(file, profile="cpu")
    assert (small.name, small.profile, len(small.cells)) == ("s-cpu", "cpu", 2)
    settings = small.cells[0].settings
    assert (settings["training"]["steps"], settings["training"]["lr"]) == (10, 0.5)
    assert settings["architecture"] == {"name": "vgg11", "width": 0.25}
    assert settings["probes"]["landscape"]["lengths"] == 4
    assert settings["probes"]["landscape"]["every"] == 50


def test_set_comes_after_a_profile(file: Path) -> None:
    (cell,) = read_sweep(file, ["training.steps=7", "seeds=1"], "cpu").cells
    assert cell.settings["training"]["steps"] == 7


def test_an_unknown_profile_is_named_with_those_that_there_are(file: Path) -> None:
    with pytest.raises(SpecError, match=r"--profile cup: no such profile; did you mean 'cpu'"):
        read_sweep(file, profile="cup")


def test_a_wrong_key_of_a_profile_is_named_with_its_line(file: Path) -> None:
    with pytest.raises(SpecError, match=r"s\.yaml:12: .*trainign"):
        read_sweep(file, profile="wrong")


def test_a_failed_cell_is_reproduced_under_its_profile(file: Path) -> None:
    small = read_sweep(file, profile="cpu")
    line = reproduction(small, small.cells[0], CommandOptions("results", []))
    assert " --profile cpu " in line
