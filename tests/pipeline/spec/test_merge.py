"""A grid's value for a whole mapping: what of base stays, and what cannot be dropped silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.spec.read import SpecError, read_sweep
from tests.helpers.parts import tiny_catalog as small_parts

BASE = """\
name: s
base:
  data: digits
  architecture: {name: vgg11, width: 0.25}
  normalizer: [weight_standardization, {name: group, groups: 8}]
  training: {steps: 3, momentum: 0.9}
probes:
  gradient_ics: {every: 2}
  landscape: {at: [0], lengths: 4}
"""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_parts.install(monkeypatch, tmp_path)


def cells(folder: Path, text: str, *overrides: str) -> list[dict[str, Any]]:
    path = folder / "s.yaml"
    path.write_text(BASE + text)
    return [cell.settings for cell in read_sweep(path, overrides).cells]


@pytest.mark.parametrize(
    "text",
    [
        "grid: {training: [{lr: 0.5}, {lr: 0.25, momentum: 0.0}]}",
        "grid: {training.lr: [0.5, 0.25], training: [{momentum: 0.9}, {momentum: 0.0}]}\n"
        "exclude: [{training: {lr: 0.5, momentum: 0.0}}, {training: {lr: 0.25, momentum: 0.9}}]",
        "grid: {training: [{lr: 0.5}]}\ninclude: [{training: {lr: 0.25, momentum: 0.0}}]",
    ],
)
def test_training_keeps_what_a_value_does_not_give(tmp_path: Path, text: str) -> None:
    found = [cell["training"] for cell in cells(tmp_path, text)]
    assert [(t["steps"], t["lr"], t["momentum"]) for t in found] == [(3, 0.5, 0.9), (3, 0.25, 0.0)]


def test_an_override_of_training_keeps_the_rest(tmp_path: Path) -> None:
    (cell,) = cells(tmp_path, "", "training={lr: 0.5}")
    assert (cell["training"]["steps"], cell["training"]["lr"]) == (3, 0.5)
    with pytest.raises(SpecError, match=r"--set training: base\.training\.lr: must be a number"):
        cells(tmp_path, "", "training={lr: x}")


@pytest.mark.parametrize("key", ["training", "base.training"])
def test_a_profile_keeps_the_rest_of_training(tmp_path: Path, key: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(BASE + f"profiles: {{small: {{{key}: {{lr: 0.5}}}}}}\n")
    (cell,) = read_sweep(path, [], "small").cells
    training = cell.settings["training"]
    assert (training["steps"], training["momentum"], training["lr"]) == (3, 0.9, 0.5)


def test_a_profile_and_an_override_keep_a_probe_s_other_options(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(BASE + "profiles: {small: {probes.landscape: {span: [1, 2]}}}\n")
    (profiled,) = read_sweep(path, [], "small").cells
    (overridden,) = read_sweep(path, ["probes.landscape={span: [1, 2]}"]).cells
    for cell in (profiled, overridden):
        landscape = cell.settings["probes"]["landscape"]
        assert (landscape["at"], landscape["lengths"], landscape["span"]) == ([0], 4, [1.0, 2.0])
        assert "gradient_ics" in cell.settings["probes"]


def test_a_probe_keeps_its_other_options(tmp_path: Path) -> None:
    for text in (
        "grid: {probes.landscape: [{span: [1, 2]}]}",
        "grid: {probes: [{gradient_ics: {}, landscape: {span: [1, 2]}}]}",
    ):
        (cell,) = cells(tmp_path, text)
        landscape = cell["probes"]["landscape"]
        assert (landscape["at"], landscape["lengths"], landscape["span"]) == ([0], 4, [1.0, 2.0])
        assert cell["probes"]["gradient_ics"]["every"] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grid: {probes: [{landscape: {at: [1]}}]}", "grid.probes[0]: drops gradient_ics of the"),
        ("include: [{probes: {}}]", "include[0].probes: drops gradient_ics, landscape of the"),
        (
            "grid: {architecture: [vgg11, resnet20]}",
            "grid.architecture[0]: drops width that base gives to vgg11; give width here too, or",
        ),
        (
            "grid: {normalizer: [group]}",
            "grid.normalizer[0]: drops groups that base gives to group; give groups here too, or",
        ),
        (
            "grid: {normalizer: [batch, [group, weight_standardization]]}",
            "grid.normalizer[1]: drops groups that base gives to group; give groups here too, or",
        ),
    ],
)
def test_what_would_be_dropped_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        cells(tmp_path, text)
    assert f"s.yaml:10: {said}" in str(caught.value)


@pytest.mark.parametrize(
    ("grid", "key"),
    [
        ("training: [{lr: 0.2}, {lr: 0.4}], training.lr: [0.1, 0.3]", "training.lr"),
        ("training.lr: [0.1, 0.3], training: [{momentum: 0.5}, {lr: 0.4}]", "training.lr"),
        ("architecture: [{name: vgg11, width: 1}], architecture.width: [2]", "architecture.width"),
        (
            "probes.landscape: [{at: [1], lengths: 5}], probes.landscape.lengths: [6]",
            "probes.landscape.lengths",
        ),
    ],
)
def test_a_value_that_two_keys_sweep_is_refused(tmp_path: Path, grid: str, key: str) -> None:
    with pytest.raises(SpecError) as caught:
        cells(tmp_path, f"grid: {{{grid}}}")
    whole = key.rpartition(".")[0]
    assert f"grid.{key}: is swept twice: grid.{whole} sets it too" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "grid: {training: [{momentum: 0.2}], training.lr: [0.1, 0.3]}",
        "grid: {architecture: [{name: vgg11, width: 1}, resnet20]}",
        "grid: {architecture: [vgg11, resnet20], architecture.width: [0.5]}",
        "grid: {normalizer: [batch, {name: group, groups: 4}]}",
    ],
)
def test_another_part_and_a_part_given_whole_replace_base_s(tmp_path: Path, text: str) -> None:
    assert cells(tmp_path, text)
