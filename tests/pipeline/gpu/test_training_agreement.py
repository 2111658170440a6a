"""Twenty steps of training in float32: a GPU's losses differ from a CPU's by rounding alone."""

from __future__ import annotations

import pytest

from pipeline.data import Dataset
from pipeline.data.gaussian import gaussian
from pipeline.training.loop import train
from tests.helpers.training.fixtures import dataset, settings
from tests.pipeline.gpu.agreement import (
    FAMILIES,
    GPU,
    NORMALIZERS,
    SECOND,
    Refused,
    distance,
    moved_data,
    network_on,
    on_gpu,
)

pytestmark = GPU

BAND = 100
"""Largest distance of a step's losses, in units of what a change of the weights' last bits makes of
them on the CPU: rounding errors grow from step to step, on one device as between two."""
LEAST = 1e-6
"""A band is at least that, relatively: some of these changes cancel."""
LR = {"weight_standardization": 1e-9, "scaled_weight_standardization": 1e-5}
"""Of standardized weights alone features grow from layer to layer, and losses to 10⁶."""


def losses_on(device: str, family: str, normalizer: str, seed: int = 0) -> list[float] | Refused:
    """Training losses of 20 steps on augmented batches, in order."""
    vectors = family == "deep_linear"
    data: Dataset = gaussian(samples=64, dimension=6) if vectors else dataset()
    network = network_on(device, family, normalizer, data.task)
    if isinstance(network, Refused):
        return network
    lr = LR.get(normalizer, 1e-4)
    changes = {"lr": 1e-6} if vectors else {"lr": lr, "augment": ["crop", "flip"]}
    cell = settings({}, NORMALIZERS[normalizer], steps=20, evaluate_every=20, **changes)
    cell["seed"] = seed
    return train(cell, moved_data(data, device), network).curve["train_loss"]


@pytest.mark.parametrize("family", on_gpu(FAMILIES))
@pytest.mark.parametrize("normalizer", on_gpu(NORMALIZERS))
def test_training_agrees_with_the_cpu(normalizer: str, family: str):
    found, expected = (losses_on(place, family, normalizer) for place in (SECOND, "cpu"))
    if isinstance(expected, Refused) or isinstance(found, Refused):
        assert found == expected
        return
    nudged = losses_on("nudged", family, normalizer)
    assert len(expected) == 20
    assert not isinstance(nudged, Refused)
    assert max(expected) < 100 * expected[0], "it diverges: a band means nothing"
    assert distance(found, expected) <= max(LEAST, BAND * distance(nudged, expected))


def test_another_seed_does_not_agree():
    """The band is narrow enough to tell two orders of batches apart."""
    ours, theirs = (losses_on("cpu", "resnet", "batch", seed=seed) for seed in (0, 1))
    nudged = losses_on("nudged", "resnet", "batch")
    assert distance(list(theirs), list(ours)) > 100 * BAND * distance(list(nudged), list(ours))
