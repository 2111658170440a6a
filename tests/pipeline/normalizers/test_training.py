"""Every normalizer trains on every family of architectures that it suits, within fifty steps.

Small forms, and the trial's own loop. The best of three learning rates counts; they are tried until
one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pytest

from pipeline.data import Dataset
from pipeline.training.loop import train
from pipeline.training.outcome import Outcome
from tests.helpers.parts.normalizer_blocks import NAMES
from tests.helpers.stores.cells import cell, parts_of

STEPS = 50
WINDOW = 10


@dataclass(frozen=True)
class Family:
    """Where a normalizer is tried."""

    parts: dict[str, Any]
    training: dict[str, Any]
    lrs: tuple[float, ...]
    group: int
    """Channels a group, where a normalizer has groups: it divides every count of the network."""


def _images(**architecture: Any) -> Family:
    return Family(
        {"data": "digits", "architecture": architecture},
        # Glorot's initialization halves the signal's variance at every ReLU, so that eleven layers
        # without a normalizer stay on the plateau; He's is made for ReLUs.
        {"batch_size": 64, "init": "he"},
        (0.1, 0.01, 1.0),
        4,
    )


FAMILIES = {
    "vgg": _images(name="vgg11", width=0.125),
    "resnet": _images(name="resnet", depth=8, width=0.5),
    "densenet": _images(name="densenet", depth=10, growth=4),
    "deep_linear": Family(
        {"data": "gaussian", "architecture": {"name": "deep_linear", "depth": 6}},
        {"batch_size": None},
        (1e-5, 1e-4, 1e-6),
        5,
    ),
}
GROUPED = ("group", "evonorm_s0", "iterative_whitening", "decorrelated_batch")
COMPOSED: dict[str, list[str]] = {
    # As their sources have them.
    "mean_only": ["weight_norm", "mean_only"],
    "weight_standardization": ["weight_standardization", "group"],
}
FADING = {
    "dynamic_tanh": "tanh(x/2) halves small signals",
    "derf": "erf(x/2) multiplies small signals by 0.56",
    "local_response": "k = 2 divides them by 1.68",
    "spectral_norm": "a weight's largest singular value is 1, its others are below",
}
"""Why signals and gradients fade layer by layer, so that plain SGD does not leave the plateau of
eleven layers at any learning rate. Adam's steps do not fade with the gradient, and with it they
train (spectral's source has Adam)."""
ADAM_LRS = (0.001, 0.01, 0.0001)

BRANCHES = "acts on residual branches"
ACTIVATION = "replaces the activation"
MAPS = "needs maps of several pixels"
UNSUITED = {
    "vgg": {"fixup": BRANCHES, "skipinit": BRANCHES},
    "resnet": {},
    "densenet": {"fixup": BRANCHES, "skipinit": BRANCHES},
    "deep_linear": {
        "fixup": BRANCHES,
        "skipinit": BRANCHES,
        "selu": ACTIVATION,
        "filter_response": ACTIVATION,
        "evonorm_b0": ACTIVATION,
        "evonorm_s0": ACTIVATION,
        "instance": MAPS,
        "batch_instance": MAPS,
    },
}
"""What does not suit a family, and how it is refused, which says why."""


@pytest.mark.sampled("resnet-batch", "resnet-group", "resnet-weight_norm", "vgg-layer")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_falls_at_the_best_of_three_learning_rates(family: str, name: str) -> None:
    if name in UNSUITED[family]:
        with pytest.raises(ValueError, match=UNSUITED[family][name]):
            _trained(family, name, FAMILIES[family].training, FAMILIES[family].lrs[0])
        return
    training, lrs = _recipe(family, name)
    falls = []
    for lr in lrs:
        dataset, outcome = _trained(family, name, training, lr)
        falls.append(_fall(outcome, _chance(dataset)))
        if falls[-1] == "":
            return
    pytest.fail(f"{name} does not train on {family}: {dict(zip(lrs, falls, strict=True))}")


def _recipe(family: str, name: str) -> tuple[dict[str, Any], tuple[float, ...]]:
    """Settings of the training, and learning rates in the order in which they are tried."""
    training, lrs = FAMILIES[family].training, FAMILIES[family].lrs
    if family == "deep_linear" or name not in FADING:
        return training, lrs
    return training | {"optimizer": "adam"}, ADAM_LRS


def _trained(
    family: str, name: str, training: dict[str, Any], lr: float
) -> tuple[Dataset, Outcome]:
    members = [
        {"name": member, "channels_per_group": FAMILIES[family].group}
        if member in GROUPED
        else {"name": member}
        for member in COMPOSED.get(name, [name])
    ]
    one = cell(
        FAMILIES[family].parts | {"normalizer": members},
        **training | {"steps": STEPS, "lr": lr, "evaluate_every": STEPS, "evaluate_samples": 64},
    )
    dataset, network = parts_of(one)
    return dataset, train(one.settings, dataset, network)


def _chance(dataset: Dataset) -> float:
    """Loss of the best constant: that of even odds, or of zeros for targets of mean zero."""
    if dataset.task.loss == "cross_entropy":
        return math.log(dataset.task.outputs)
    return dataset.train.targets.square().sum().item()


def _fall(outcome: Outcome, chance: float) -> str:
    """Nothing if the loss falls, and below chance, beyond the noise of batches; else what it did.

    The noise is three standard errors of the last window's mean; in the first one the loss falls.
    """
    if outcome.diverged_step is not None:
        return f"diverged at step {outcome.diverged_step}"
    losses = outcome.curve["train_loss"]
    first, last = fmean(losses[:WINDOW]), fmean(losses[-WINDOW:])
    noise = 3 * stdev(losses[-WINDOW:]) / math.sqrt(WINDOW)
    if first - last > math.sqrt(2) * noise and chance - last > max(noise, 0.02 * chance):
        return ""
    return f"{first:.4g} to {last:.4g}, noise {noise:.2g}, chance {chance:.4g}"
