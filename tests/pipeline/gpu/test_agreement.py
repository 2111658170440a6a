"""The comparison itself, without a GPU: it finds what is planted, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from pipeline.data import Batch
from tests.helpers.training.fixtures import dataset
from tests.pipeline.gpu import agreement
from tests.pipeline.gpu.agreement import Refused, disagreements, distance, records_on

EXPECTED: dict[str, list[Any]] = {
    "layer": ["stem", "head"],
    "l2": [2.0, 1e-9],
    "cosine": [math.nan, 0.5],
    "beta": [math.inf, 1.0],
}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("layer", ["stem", "tail"]),
        ("l2", [2.0 * (1 + 3e-6), 1e-9]),
        ("l2", [2.0, 1e-5]),
        ("l2", [2.0]),
        ("cosine", [0.0, 0.5]),
        ("cosine", [math.nan, math.nan]),
        ("beta", [-math.inf, 1.0]),
        ("beta", [1e300, 1.0]),
    ],
)
def test_a_planted_difference_is_found(column: str, values: list[Any]):
    (line,) = disagreements({**EXPECTED, column: values}, EXPECTED, 1e-6)
    assert line.startswith(f"{column}: ")


def test_a_missing_column_is_found():
    missing = {k: v for k, v in EXPECTED.items() if k != "l2"}
    assert disagreements(missing, EXPECTED, 1e-6)
    assert disagreements(EXPECTED, missing, 1e-6)


def test_rounding_is_let_pass():
    nearly = {**EXPECTED, "l2": [2.0 * (1 + 1e-7), 1.001e-9]}
    assert disagreements(nearly, EXPECTED, 1e-6) == []
    assert distance([1.0, 3.0], [1.0, 3.0]) == 0
    assert distance([], []) == 0


def test_a_family_refuses_a_normalizer_in_words():
    refused = records_on("cpu", "deep_linear", "filter_response", "noise")
    assert isinstance(refused, Refused)
    assert "does not suit deep_linear" in refused


@pytest.mark.parametrize("probe", ["gradient_ics", "curvature", "gradient_noise"])
def test_a_nudged_step_agrees_and_another_batch_does_not(
    probe: str, monkeypatch: pytest.MonkeyPatch
):
    expected = records_on("cpu", "resnet", "group", probe)
    nudged = records_on("nudged", "resnet", "group", probe)
    assert not isinstance(expected, Refused)
    assert not isinstance(nudged, Refused)
    assert disagreements(nudged, expected, 1e-6) == []
    assert any(distance(nudged[name], expected[name]) > 0 for name in expected)

    def other(batch: Batch, device: str) -> Batch:
        return Batch(batch.inputs.double() + 1e-4 * batch.inputs.double().cos(), batch.targets)

    monkeypatch.setattr(agreement, "_batch", other)
    agreement._view.cache_clear()
    changed = records_on("cpu", "resnet", "group", probe)
    agreement._view.cache_clear()
    assert not isinstance(changed, Refused)
    assert disagreements(changed, expected, 1e-6)


def test_networks_and_data_of_the_nudged_device_are_on_the_host():
    data = agreement.moved_data(dataset(), "nudged")
    network = agreement.network_on("nudged", "vgg", "batch", data.task)
    plain = agreement.network_on("cpu", "vgg", "batch", data.task)
    assert not isinstance(network, Refused)
    assert not isinstance(plain, Refused)
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        assert ours.is_cpu
        torch.testing.assert_close(ours, theirs, rtol=3e-7, atol=0)
