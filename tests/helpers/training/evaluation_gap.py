"""The loss of a trained network by batch statistics, running averages and exact means.

A normalizer trains a ResNet-8 on the digits, at a learning rate of 0.1 and batches of 64. Then the
whole training split is one large batch, on which the loss is taken in three ways, all without
noise: with *batch* statistics, as in training; in evaluation mode with *running* averages; and in
evaluation mode with *exact* means over training batches.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import torch

from pipeline.architectures import Network
from pipeline.catalog import registry as catalog
from pipeline.catalog.validation import validate
from pipeline.data import Dataset
from pipeline.data._objective import correct, objective
from pipeline.probes._view import preserve_state
from pipeline.spec.expand import expand
from pipeline.spec.read import Cell
from pipeline.spec.schema import SweepFile
from pipeline.training.batches import Batches
from pipeline.training.evaluation_statistics import EvaluationStatistics
from pipeline.training.initialization import calibrate, initialize
from pipeline.training.loop import train
from pipeline.trial import run as trial

OPTIONS: dict[str, dict[str, Any]] = {
    "decorrelated_batch": {"channels_per_group": 4},
    "evonorm_s0": {"channels_per_group": 4},
    "group": {"channels_per_group": 4},
}
"""Options that a normalizer needs on few channels."""


class Score(NamedTuple):
    """On the large batch."""

    loss: float
    accuracy: float


class Gap(NamedTuple):
    """The three ways, and which of the two evaluations a trial records."""

    batch: Score
    running: Score
    exact: Score
    are_exact: bool

    @property
    def recorded(self) -> Score:
        """What a trial records."""
        return self.exact if self.are_exact else self.running


def measured(name: str, steps: int, width: float = 0.5) -> Gap:
    """Train a network with a normalizer for so many steps, and evaluate."""
    cell = _cell(name, steps, width)
    settings = cell.settings
    dataset = trial._dataset(json.dumps(settings["data"], sort_keys=True), "cpu")
    network, norm = trial.build(settings, dataset.task)
    initialize(network, norm, settings["training"]["init"], settings["seed"])
    calibrate(network, norm, dataset)
    train(settings, dataset, network)
    batches = Batches(dataset, batch_size=64, augment=(), seed=settings["seed"])
    statistics = EvaluationStatistics(network, batches)
    with preserve_state(network):
        for module in network.modules():
            if hasattr(module, "noise_key"):
                module.eval()
        batch = _score(network, dataset)
    with preserve_state(network, "eval"):
        running = _score(network, dataset)
        with statistics.after(0):  # nothing averaged yet: exact
            exact = _score(network, dataset)
    return Gap(batch, running, exact, statistics.are_exact(steps))


@torch.no_grad()
def _score(network: Network, dataset: Dataset) -> Score:
    inputs, targets = dataset.batch(dataset.train, slice(None))
    outputs = network(inputs)
    hits = correct(dataset.task, outputs, targets)
    assert hits is not None
    loss = objective(dataset.task, outputs, targets)
    return Score(loss.item(), hits.item() / len(targets))


def _cell(name: str, steps: int, width: float) -> Cell:
    content = {
        "name": "gap",
        "base": {
            "data": "digits",
            "architecture": {"name": "resnet", "depth": 8, "width": width},
            "normalizer": {"name": name, **OPTIONS.get(name, {})},
            "training": {
                "steps": steps,
                "batch_size": 64,
                "lr": 0.1,
                "init": "he",
                "evaluate_every": 10**6,
            },
        },
    }
    (cell,) = expand(validate(SweepFile, content, "")).cells
    return cell


def averaging() -> list[str]:
    """Normalizers of the catalog whose evaluation uses averages of batch statistics."""
    made = {name: catalog.load(part)() for name, part in catalog.parts("normalizers").items()}
    return [
        name for name, norm in made.items() if norm.traits.running_stats and name != "spectral_norm"
    ]
