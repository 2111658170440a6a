"""Every quantity of every probe against its slow twin, in float64, on every family of networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from pipeline.probes._activations import PlaceName
from pipeline.probes._view import Records, View, preserve_state
from pipeline.probes.batchnorm_theorems import batchnorm_theorems
from pipeline.probes.distribution_ics import distribution_ics
from pipeline.probes.gradient_ics import gradient_ics
from pipeline.probes.gradient_noise import gradient_noise
from pipeline.probes.landscape import landscape
from pipeline.probes.moment_ics import moment_ics
from pipeline.probes.signal_propagation import signal_propagation
from tests.helpers.reference import layers as twins_layers
from tests.helpers.reference import probes as reference_probes
from tests.helpers.training.views import FAMILIES, NORMALIZERS, view_of

RTOL = 1e-8
"""Float64 rounding (1e-16), times what a difference of nearly equal gradients loses."""

SMALL = [family for family in FAMILIES if family != "resnet_projected"]
PROJECTED = ("resnet_projected", "batch")
SOME = pytest.mark.parametrize(
    ("family", "norm"), [PROJECTED, *((family, "weight") for family in SMALL)]
)
CASES = pytest.mark.parametrize(
    ("family", "norm"), [PROJECTED, *((family, norm) for family in SMALL for norm in NORMALIZERS)]
)


def numbers(column: Any) -> list[float]:
    return column.tolist() if isinstance(column, Tensor) else list(column)


def assert_close(records: Records, expected: reference_probes.Rows) -> None:
    names = {name for name, column in records.items() if isinstance(column, Tensor)}
    assert names == set(expected)
    for name, values in expected.items():
        scale = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
        approx = pytest.approx(values, rel=RTOL, abs=RTOL * scale, nan_ok=True)
        assert numbers(records[name]) == approx, name


def assert_gradient_ics(family: str, norm: str, parameters: Literal["weights", "all"]) -> None:
    view = view_of(family, norm)
    with preserve_state(view.network):
        records = gradient_ics(view, parameters=parameters)
    assert_close(records, reference_probes.gradient_ics(view, parameters))
    assert records["layer"] == reference_probes.weight_layer_names(view.network)
    assert max(numbers(records["l2"])) > 0


@CASES
def test_gradient_ics(family: str, norm: str):
    assert_gradient_ics(family, norm, "weights")


@SOME
def test_gradient_ics_of_all_parameters(family: str, norm: str):
    assert_gradient_ics(family, norm, "all")


def assert_moment_ics(family: str, norm: str, places: Sequence[PlaceName]) -> None:
    view = view_of(family, norm)
    with preserve_state(view.network):
        records = moment_ics(view, places=places)
    assert_close(records, reference_probes.moment_ics(view, places))
    assert_places(view, records, places, "mean_shift")


def assert_distribution_ics(family: str, norm: str, places: Sequence[PlaceName]) -> None:
    view = view_of(family, norm)
    with preserve_state(view.network):
        records = distribution_ics(view, places=places)
    assert_close(records, twins_layers.distribution_ics(view, places))
    assert_places(view, records, places, "w1")
    assert min(numbers(records["w1_floor"])) > 0


def assert_places(view: View, records: Records, places: Sequence[PlaceName], moved: str) -> None:
    """Rows are in order, and all that can move does: the network's own input cannot."""
    weights, activations = view.network.weight_layers(), view.network.activation_layers()
    layers = {"activation": activations, "output": weights, "input": weights}
    rows = [(p, layer.name, i) for p in places for i, layer in enumerate(layers[p], 1)]
    assert list(zip(*(records[k] for k in ("place", "layer", "index")), strict=True)) == rows
    for (place, _, index), value in zip(rows, numbers(records[moved]), strict=True):
        assert (value == 0) == ((place, index) == ("input", 1))


@CASES
def test_moment_ics(family: str, norm: str):
    assert_moment_ics(family, norm, ["activation"])


@SOME
def test_moment_ics_of_weight_layers(family: str, norm: str):
    assert_moment_ics(family, norm, ["output", "input"])


@CASES
def test_distribution_ics(family: str, norm: str):
    assert_distribution_ics(family, norm, ["activation"])


@SOME
def test_distribution_ics_of_weight_layers(family: str, norm: str):
    assert_distribution_ics(family, norm, ["output", "input"])


def assert_noise(family: str, norm: str, parameters: Literal["weights", "all"]) -> None:
    view = view_of(family, norm)
    with preserve_state(view.network):
        records = gradient_noise(view, parameters=parameters)
    assert_close(
        records,
        twins_layers.gradient_noise(view, view.sample_batch(len(view.batch.targets)), parameters),
    )
    assert records["layer"] == ["network", *reference_probes.weight_layer_names(view.network)]
    assert records["index"] == list(range(len(numbers(records["l2"]))))
    assert min(numbers(records["l2"])) > 0


@CASES
def test_noise(family: str, norm: str):
    assert_noise(family, norm, "weights")


@SOME
def test_noise_of_all_parameters(family: str, norm: str):
    assert_noise(family, norm, "all")


@CASES
def test_signal(family: str, norm: str):
    view = view_of(family, norm)
    with preserve_state(view.network):
        records = signal_propagation(view)
    assert_close(records, twins_layers.signal_propagation(view))
    assert records["layer"] == [layer.name for layer in view.network.activation_layers()]


@pytest.mark.parametrize(
    ("family", "norm"), [*((family, "batch") for family in SMALL), ("deep_linear", "noisy_batch")]
)
def test_theory(family: str, norm: str):
    view = view_of(family, norm)
    with preserve_state(view.network):
        records = batchnorm_theorems(view)
    expected = twins_layers.batchnorm_theorems(view)
    gaps = {key: expected.pop(key) for key in ("gap_41", "gap_42")}
    assert_close({k: v for k, v in records.items() if k not in gaps}, expected)
    for key, values in gaps.items():  # differences of nearly equal numbers
        assert numbers(records[key]) == pytest.approx(values, rel=1e-3, abs=1e-9)


def assert_landscape(family: str, norm: str, parameters: Literal["weights", "all"]) -> None:
    view = view_of(family, norm)
    rng = torch.Generator().manual_seed(view.rng.initial_seed())
    with preserve_state(view.network):
        records = landscape(
            view,
            lengths=2,
            ranges=("lr", "common", "relative"),
            directions=("gradient", "random"),
            parameters=parameters,
        )
    assert_close(records, reference_probes.landscape(view, 2, rng, parameters))
    assert records["range"] == ["lr", "common", "relative"] * 2
    assert records["direction"] == ["gradient"] * 3 + ["random"] * 3


@CASES
def test_landscape(family: str, norm: str):
    assert_landscape(family, norm, "all")


@SOME
def test_landscape_of_weights(family: str, norm: str):
    assert_landscape(family, norm, "weights")
