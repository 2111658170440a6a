"""The sweep files that come with the project."""

from __future__ import annotations

import json
import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipeline.data import Task
from pipeline.spec.read import read_sweep
from pipeline.sweep.forecast.gpu_rates import describe_gpu_hours
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


def networks() -> dict[str, tuple[str, dict[str, Any]]]:
    """By data, architecture and normalizer: a sweep that has them, and the settings of a cell."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path, profile in forms():
        for cell in read_sweep(path, profile=profile).cells:
            own = cell.settings
            key = json.dumps([own["data"]["name"], own["architecture"], own["normalizer"]])
            found.setdefault(key, (path.stem, own))
    return found


@pytest.mark.slow
def test_every_network_of_a_sweep_can_be_built() -> None:
    """Once, however many sweeps have it, and without memory for its weights."""
    wrong, sweeps = [], set()
    for sweep, settings in networks().values():
        sweeps.add(sweep)
        try:
            with torch.device("meta"):
                network, _ = build(settings, TASKS[settings["data"]["name"]])
            assert len(network.weight_layers()) > 3
        except Exception as error:
            wrong.append(f"{sweep}: {settings['architecture']}, {settings['normalizer']}: {error}")
    assert not wrong
    assert sweeps >= {"quickstart", "cifar10", "torchvision"}


def test_the_gpu_hours_that_a_file_states_are_those_of_a_dry_run() -> None:
    stated = {}
    for path in SWEEPS:
        comment = first(path)
        if found := re.search(r"# --dry-run: ((?:about|at least) [\d.]+) GPU-hours", comment):
            stated[path] = found[1]
        if "paper" in path.parts or "reviewers" in path.parts:
            assert "# --dry-run: " in comment, path
    for path, amount in stated.items():
        said = describe_gpu_hours(read_sweep(path).cells)
        assert any(line.startswith(f"GPU-hours: {amount},") for line in said), (path, said)
    assert len(stated) > 10


def first(path: Path) -> str:
    """The comment at the head of a sweep file."""
    lines = path.read_text().splitlines()
    return "\n".join(takewhile(lambda line: line.startswith("#"), lines))
