"""On one GPU a cell has the same bits: twice, with and without probes, and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.store.store import Store
from tests.helpers.stores.cells import IMAGES, PROBES, REGRESSION, cell
from tests.pipeline.gpu.agreement import DEVICE, GPU
from tests.pipeline.training.test_checkpoint import digests, kill_half_way

pytestmark = GPU

RESNET = {"name": "resnet", "depth": 8, "width": 0.25}
DENSENET = {"name": "densenet", "depth": 10, "growth": 4, "bottleneck": True}
CELLS: dict[str, dict[str, Any]] = {
    "vgg, batch": IMAGES,
    "vgg, noisy_batch": {**IMAGES, "normalizer": "noisy_batch"},
    "resnet, none": {**IMAGES, "architecture": RESNET, "normalizer": "none"},
    "resnet, spectral": {**IMAGES, "architecture": RESNET, "normalizer": "spectral_norm"},
    "resnet, whitening": {
        **IMAGES,
        "architecture": RESNET,
        "normalizer": {"name": "iterative_whitening", "channels_per_group": 4},
    },
    "densenet, group": {
        **IMAGES,
        "architecture": DENSENET,
        "normalizer": {"name": "group", "groups": 2},
    },
    "deep_linear, layer": {**REGRESSION, "normalizer": "layer"},
}
each = pytest.mark.parametrize("parts", CELLS.values(), ids=list(CELLS))


def changes(parts: dict[str, Any]) -> dict[str, Any]:
    """Steps enough to be interrupted, with all that draws at random."""
    augment = [] if parts["data"] != "digits" else ["crop", "flip"]
    return {"steps": 4, "momentum": 0.9, "augment": augment}


@each
def test_a_cell_is_the_same_twice(parts: dict[str, Any], tmp_path: Path):
    again = cell(parts, probes=PROBES, **changes(parts))
    first, second = (digests(again, Store(str(tmp_path / name)), DEVICE) for name in "ab")
    assert first == second
    assert len(first) == 1 + len(PROBES)


@each
def test_probes_change_nothing(parts: dict[str, Any], tmp_path: Path):
    bare, probed = (
        digests(cell(parts, probes=probes, **changes(parts)), Store(str(tmp_path / name)), DEVICE)
        for name, probes in (("bare", {}), ("probed", PROBES))
    )
    assert bare["training.parquet"] == probed["training.parquet"]


@each
def test_a_resumed_cell_is_the_uninterrupted_one(
    parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = Store(str(tmp_path / "resumed"))
    interrupted = cell(parts, probes=PROBES, **changes(parts))
    kill_half_way(interrupted, store, monkeypatch, DEVICE)
    assert store.read_side_file(interrupted.cell_id, "checkpoint.pt")
    resumed = digests(interrupted, store, DEVICE)
    assert resumed == digests(interrupted, Store(str(tmp_path / "whole")), DEVICE)
