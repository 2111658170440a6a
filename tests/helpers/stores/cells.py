"""Cells that take milliseconds, resolved as a sweep file's are, and what is needed to run them."""

from __future__ import annotations

import json
from typing import Any

import torch

from pipeline.architectures import Network
from pipeline.catalog.validation import validate
from pipeline.data import Dataset
from pipeline.spec.expand import expand
from pipeline.spec.read import Cell
from pipeline.spec.schema import SweepFile
from pipeline.training.initialization import calibrate, initialize
from pipeline.training.loop import train
from pipeline.training.outcome import Outcome
from pipeline.trial import run as trial

REGRESSION: dict[str, Any] = {
    "data": {"name": "gaussian", "samples": 64},
    "architecture": {"name": "deep_linear", "depth": 4},
    "normalizer": "none",
}
IMAGES: dict[str, Any] = {
    "data": "digits",
    "architecture": {"name": "vgg11", "width": 0.0625},
    "normalizer": "batch",
}
NOISY = {**IMAGES, "normalizer": "noisy_batch"}
DROPPED = {**REGRESSION, "normalizer": {"name": "group", "groups": 7}}
"""A cell that raises: ten features are not seven groups."""
PROBES = {
    "gradient_ics": {"every": 2},
    "moment_ics": {"every": 2},
    "landscape": {"at": [0, 3], "lengths": 2},
}
TRAINING: dict[str, Any] = {"steps": 5, "batch_size": 16, "lr": 1e-3, "evaluate_every": 2}


def sweep_content(
    parts: dict[str, Any], *, seed: int = 0, probes: dict[str, Any] | None = None, **training: Any
) -> dict[str, Any]:
    """A sweep file of one cell."""
    base = {**parts, "training": TRAINING | training}
    return {"name": "one", "base": base, "seeds": [seed], "probes": probes or {}}


def cell(parts: dict[str, Any], **changes: Any) -> Cell:
    """The cell of `sweep_content`."""
    (found,) = expand(validate(SweepFile, sweep_content(parts, **changes), "")).cells
    return found


def parts_of(cell: Cell) -> tuple[Dataset, Network]:
    """A cell's data and its initialized network."""
    torch.set_num_threads(1)
    dataset = trial._dataset(json.dumps(cell.settings["data"], sort_keys=True), "cpu")
    network, norm = trial.build(cell.settings, dataset.task)
    initialize(network, norm, cell.settings["training"]["init"], cell.settings["seed"])
    calibrate(network, norm, dataset)
    return dataset, network


def run(cell: Cell) -> Outcome:
    """Train a cell, as a trial does."""
    return train(cell.settings, *parts_of(cell))
