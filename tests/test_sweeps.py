"""The sweep files that come with the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from pipeline.data import Task
from pipeline.spec.read import read_sweep
from pipeline.trial.run import build

SWEEPS = sorted((Path(__file__).parents[1] / "sweeps").rglob("*.yaml"))
TASKS = {
    "digits": Task(loss="cross_entropy", input_shape=(1, 8, 8), outputs=10),
    "cifar10": Task(loss="cross_entropy", input_shape=(3, 32, 32), outputs=10),
    "gaussian": Task(loss="squared_error", input_shape=(10,), outputs=10),
    "parquet": Task(loss="cross_entropy", input_shape=(3, 32, 32), outputs=10),
}


def test_there_are_sweeps() -> None:
    assert {path.stem for path in SWEEPS} >= {"quickstart", "cifar10", "normalizers"}


def forms() -> list[tuple[Path, str | None]]:
    """Every file in full, and under each of its profiles."""
    profiles = {path: yaml.safe_load(path.read_text()).get("profiles", {}) for path in SWEEPS}
    return [(path, name) for path in SWEEPS for name in (None, *profiles[path])]


@pytest.mark.parametrize(("path", "profile"), forms(), ids=lambda each: getattr(each, "stem", each))
def test_every_network_of_a_sweep_can_be_built(path: Path, profile: str | None) -> None:
    """Each pair of architecture and normalizer, once, without memory for its weights."""
    networks = {}
    for cell in read_sweep(path, profile=profile).cells:
        key = json.dumps([cell.settings["architecture"], cell.settings["normalizer"]])
        networks.setdefault(key, cell.settings)
    for settings in networks.values():
        with torch.device("meta"):
            network, _ = build(settings, TASKS[settings["data"]["name"]])
        assert len(network.weight_layers()) > 3
