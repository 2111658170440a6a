"""The task of a dataset, known without reading it: what a network must fit before a sweep runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.data import Task

_IMAGES = {
    "digits": ((1, 8, 8), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "svhn": ((3, 32, 32), 10),
}
"""Shape and number of classes of the sets that are always the same."""


def known_task(config: Mapping[str, Any]) -> Task | None:
    """The task of a resolved dataset; None where only its files tell the size of its images."""
    if config["name"] == "gaussian":
        dimension = config["dimension"]
        return Task(loss="squared_error", input_shape=(dimension,), outputs=dimension)
    if config["name"] not in _IMAGES:
        return None
    shape, classes = _IMAGES[config["name"]]
    return Task(loss="cross_entropy", input_shape=shape, outputs=classes)
