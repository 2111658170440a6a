"""What is known of a dataset without reading it: its task, and how many samples train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.data import Task
from pipeline.data._splits import share_of

_IMAGES = {
    "digits": ((1, 8, 8), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "svhn": ((3, 32, 32), 10),
}
"""Shape and number of classes of the sets that are always the same."""
_SVHN = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
_SAMPLES = {
    "digits": (142, 146, 142, 146, 145, 146, 145, 143, 139, 144),
    "fashion_mnist": (6000,) * 10,
    "cifar10": (5000,) * 10,
    "cifar100": (500,) * 100,
    "svhn": _SVHN,
}
"""Their samples by class, those for validation among them, those for the test not."""


def known_task(config: Mapping[str, Any]) -> Task | None:
    """The task of a resolved dataset; None where only its files tell the size of its images."""
    if config["name"] == "gaussian":
        dimension = config["dimension"]
        return Task(loss="squared_error", input_shape=(dimension,), outputs=dimension)
    if config["name"] not in _IMAGES:
        return None
    shape, classes = _IMAGES[config["name"]]
    return Task(loss="cross_entropy", input_shape=shape, outputs=classes)


def known_samples(config: Mapping[str, Any]) -> int | None:
    """How many samples of a resolved dataset train; None where only its files tell."""
    if config["name"] == "gaussian":
        return config["samples"]
    if config["name"] not in _SAMPLES:
        return None
    share = config["validation"]
    return sum(count - share_of(count, share) for count in _SAMPLES[config["name"]])
