"""Twenty steps of training in float32, on a GPU and on a CPU: the losses stay in one band."""

from __future__ import annotations

import pytest

from pipeline.data import Dataset
from pipeline.data.gaussian import gaussian
from pipeline.training.loop import train
from tests.helpers.training_fixtures import dataset, settings
from tests.pipeline.gpu.agreement import (
    FAMILIES,
    GPU,
    NORMALIZERS,
    SECOND,
    Refused,
    moved_data,
    network_on,
)

pytestmark = GPU

BAND = 1e-3
"""Largest relative distance of a step's losses. Rounding errors of 1e-7 grow from step to step."""
WIDER: dict[tuple[str, str], float] = {
    ("instance", "vgg"): 0.3,
    ("weight_standardization", "densenet"): 1e-2,
}
"""The last maps of this VGG are single pixels: there x − μ is rounding, magnified by 1/√ε. Of
standardized weights alone features grow from layer to layer, and rounding with them: a change of
the weights' last bits moves this DenseNet's losses by 4e-4."""


def losses_on(device: str, family: str, normalizer: str) -> list[float] | Refused:
    """Training losses of 20 steps on augmented batches, in order."""
    vectors = family == "deep_linear"
    data: Dataset = gaussian(samples=64, dimension=6) if vectors else dataset()
    network = network_on(device, family, normalizer, data.task)
    if isinstance(network, Refused):
        return network
    changes = {"lr": 1e-6} if vectors else {"lr": 1e-3, "augment": ["crop", "flip"]}
    cell = settings({}, NORMALIZERS[normalizer], steps=20, evaluate_every=20, **changes)
    return train(cell, moved_data(data, device), network).curve["train_loss"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_training_agrees_with_the_cpu(normalizer: str, family: str):
    found, expected = (losses_on(place, family, normalizer) for place in (SECOND, "cpu"))
    if isinstance(expected, Refused) or isinstance(found, Refused):
        assert found == expected
        return
    assert len(expected) == 20
    assert found == pytest.approx(expected, rel=WIDER.get((normalizer, family), BAND))
