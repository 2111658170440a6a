from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.spec.read import read_sweep
from tests.helpers.parts import tiny_catalog as small_parts


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_parts.install(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("{normalizer: batch}", "gGhH"),
        ("{normalizer: group}", "bB"),
        ("{normalizer: {name: group, groups: 8}}", "bBgG"),
        ("{normalizer: [group]}", "bB"),
        ("{normalizer: [weight_standardization, group]}", "bBgGhH"),
        ("{normalizer.groups: 32}", "bBhH"),
        ("{training.lr: 1}", "bgh"),
        ("{training: {lr: 1.0, momentum: 0}}", "bgh"),
        ("{normalizer: batch, training.lr: 1}", "bgGhH"),
        ("{architecture: vgg11, probes.landscape.every: 5}", ""),
        ("{probes.landscape: {every: 6}}", "bBgGhH"),
        ("{training.batch_size: null}", "bBgGhH"),
    ],
)
def test_exclusion_rules(tmp_path: Path, rule: str, left: str) -> None:
    text = (
        "name: s\nbase: {data: digits, architecture: vgg11, normalizer: batch}\n"
        "probes: {landscape: {every: 5}}\ninclude: [{training.lr: 7}]\n"
        "grid: {normalizer: [batch, group, {name: group, groups: 8}], training.lr: [0.1, 1]}\n"
    )
    letters = {"batch": "bB", "group": "gG", "group(groups=8)": "hH"}
    path = tmp_path / "s.yaml"
    path.write_text(text)
    *grid, extra = (cell.labels for cell in read_sweep(path, [f"exclude=[{rule}]"]).cells)
    assert "".join(letters[cell["normalizer"]][cell["lr"] == 1] for cell in grid) == left
    assert (extra["normalizer"], extra["lr"]) == ("batch", 7.0)


def test_a_rule_that_matches_no_cell_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\nbase: {data: digits, architecture: vgg11}\n"
        "grid: {normalizer: [batch, group]}\nexclude:\n"
        "  - {normalizer: group}\n  - {normalizer: {name: group, groups: 8}}\n"
    )
    sweep = read_sweep(path)
    assert sweep.notes == (f"{path}:6: exclude[1]: matches no cell of the grid",)
    assert [cell.labels["normalizer"] for cell in sweep.cells] == ["batch"]
