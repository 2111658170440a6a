"""Every quantity of every probe against its slow twin, in float64, on every family of networks."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from pipeline import measure
from pipeline.measure import Records
from pipeline.probes.gradient_ics import gradient_ics
from pipeline.probes.landscape import landscape
from pipeline.probes.moment_ics import moment_ics
from tests.pipeline.probes import twins
from tests.pipeline.probes.views import FAMILIES, NORMALIZERS, view_of

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


def assert_close(records: Records, expected: twins.Rows) -> None:
    names = {name for name, column in records.items() if isinstance(column, Tensor)}
    assert names == set(expected)
    for name, values in expected.items():
        scale = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
        approx = pytest.approx(values, rel=RTOL, abs=RTOL * scale, nan_ok=True)
        assert numbers(records[name]) == approx, name


def assert_gradient_ics(family: str, norm: str, parameters: Literal["weights", "all"]) -> None:
    view = view_of(family, norm)
    with measure.untouched(view.network):
        records = gradient_ics(view, parameters=parameters)
    assert_close(records, twins.gradient_ics(view, parameters))
    assert records["layer"] == twins.weight_layer_names(view.network)
    assert max(numbers(records["l2"])) > 0


@CASES
def test_gradient_ics(family: str, norm: str):
    assert_gradient_ics(family, norm, "weights")


@SOME
def test_gradient_ics_of_all_parameters(family: str, norm: str):
    assert_gradient_ics(family, norm, "all")


@CASES
def test_moment_ics(family: str, norm: str):
    view = view_of(family, norm)
    with measure.untouched(view.network):
        records = moment_ics(view)
    assert_close(records, twins.moment_ics(view))
    assert min(numbers(records["mean_shift"])) > 0


def assert_landscape(family: str, norm: str, parameters: Literal["weights", "all"]) -> None:
    view = view_of(family, norm)
    rng = torch.Generator().manual_seed(view.rng.initial_seed())
    with measure.untouched(view.network):
        records = landscape(
            view,
            lengths=2,
            ranges=("lr", "common", "relative"),
            directions=("gradient", "random"),
            parameters=parameters,
        )
    assert_close(records, twins.landscape(view, 2, rng, parameters))
    assert records["range"] == ["lr", "common", "relative"] * 2
    assert records["direction"] == ["gradient"] * 3 + ["random"] * 3


@CASES
def test_landscape(family: str, norm: str):
    assert_landscape(family, norm, "all")


@SOME
def test_landscape_of_weights(family: str, norm: str):
    assert_landscape(family, norm, "weights")
