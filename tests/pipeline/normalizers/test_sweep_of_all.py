"""The sweep over all normalizers has all of them."""

from __future__ import annotations

from pathlib import Path

from pipeline.spec.read import read_sweep
from tests.helpers.parts.normalizer_blocks import NAMES

SWEEP = Path(__file__).parents[3] / "sweeps" / "all_normalizers.yaml"


def test_every_normalizer_is_in_the_sweep() -> None:
    cells = read_sweep(str(SWEEP)).cells
    named = {config["name"] for cell in cells for config in cell.settings["normalizer"]}
    assert named == set(NAMES)
