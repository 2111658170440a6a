"""Sharpness on quadratics, where the worst point of a ball is known; its twin; its edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from pipeline.catalog import registry as catalog
from pipeline.data import Batch
from pipeline.probes._layers import parameters_by_layer
from pipeline.probes._view import View, preserve_state
from pipeline.probes.landscape import landscape
from pipeline.probes.sharpness import sharpness
from pipeline.spec.read import SpecError
from tests.helpers.reference import sharpness as twins_sharpness
from tests.helpers.training.views import FAMILIES, NORMALIZERS, linear_view, view_of

RTOL = 1e-8
RHO = 0.3


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, Y, W = normal(6, 4, seed=1), normal(6, 3, seed=2), normal(3, 4, seed=3)
LOSS = (X @ W.T - Y).square().sum().item()
GRADIENT = (2 * (X @ W.T - Y).T @ X).flatten()
HESSIAN = torch.kron(torch.eye(3, dtype=torch.float64), 2 * X.T @ X)
"""Of ‖XWᵀ − Y‖² in the rows of W, one after another."""


def quadratic() -> View:
    return linear_view([W], Batch(X, Y), 0.01)


def observed(view: View, **options: Any) -> dict[str, Any]:
    with preserve_state(view.network):
        return dict(sharpness(view, **options))


def rise(delta: Tensor, scale: Tensor) -> float:
    moved = scale * delta
    return (GRADIENT @ moved + moved @ HESSIAN @ moved / 2).item()


def true_rise(scale: Tensor) -> float:
    """Max of hᵀδ + δᵀAδ/2 on ‖δ‖ = ρ: (ν − A)δ = h, ν > λ_max(A) found by bisection."""
    hessian, gradient = scale[:, None] * HESSIAN * scale, scale * GRADIENT
    values, vectors = torch.linalg.eigh(hessian)
    parts = vectors.T @ gradient
    low, high = values[-1].item(), values[-1].item() + gradient.norm().item() / RHO + 1
    for _ in range(200):
        middle = (low + high) / 2
        long = (parts / (middle - values)).norm().item() > RHO
        low, high = (middle, high) if long else (low, middle)
    return rise(vectors @ (parts / (high - values)), scale)


KINDS = [("sam", torch.ones(12, dtype=torch.float64)), ("adaptive", W.flatten().abs())]
SCALED = pytest.mark.parametrize(("kind", "scale"), KINDS, ids=["sam", "adaptive"])


@SCALED
def test_one_step_on_a_quadratic_is_the_first_order_point(kind: str, scale: Tensor):
    found = observed(quadratic(), kinds=(kind,), rho=(RHO,), steps=1)
    uphill = scale * GRADIENT
    assert found["sharpness"].item() == pytest.approx(rise(RHO * uphill / uphill.norm(), scale))
    assert found["loss"].item() == pytest.approx(LOSS)
    assert found["worst_loss"].item() == pytest.approx(LOSS + found["sharpness"].item())


@SCALED
def test_many_steps_on_a_quadratic_reach_the_maximum_in_the_ball(kind: str, scale: Tensor):
    few, many = (
        observed(quadratic(), kinds=(kind,), rho=(RHO,), steps=steps)["sharpness"].item()
        for steps in (1, 300)
    )
    assert few < many == pytest.approx(true_rise(scale), rel=1e-9)


def test_average_of_a_quadratic_is_its_trace_in_the_filters_units():
    """E over directions: ρ²/2·Σ_f ‖w_f‖²·tr(H_f)/d, each filter's direction being isotropic."""
    found = observed(quadratic(), kinds=("average",), rho=(RHO,), directions=4000)
    blocks = W.square().sum(1) * 2 * X.square().sum() / 4
    expected = RHO**2 / 2 * blocks.sum().item()
    assert found["sharpness"].item() == pytest.approx(expected, rel=0.1)


CASES = [("resnet_projected", "batch", "all"), ("vgg", "weight", "weights")]
CASES += [(f, n, "all") for f in FAMILIES if f != "resnet_projected" for n in NORMALIZERS]


@pytest.mark.parametrize(("family", "norm", "which"), CASES)
def test_twin(family: str, norm: str, which: Literal["weights", "all"]):
    view = view_of(family, norm)
    rng = torch.Generator().manual_seed(view.rng.initial_seed())
    rho = (0.01, 0.1)
    found = observed(view, rho=rho, steps=2, directions=2, parameters=which)
    expected = twins_sharpness.sharpness(view, rho, 2, 2, rng, which)
    scale = max(map(abs, expected["loss"]))
    for name, values in expected.items():
        assert found[name].tolist() == pytest.approx(values, rel=RTOL, abs=RTOL * scale), name
    assert found["kind"] == [kind for kind in ("sam", "adaptive", "average") for _ in rho]
    assert found["rho"] == [*rho] * 3


def test_adaptive_sharpness_of_scale_invariant_weights_does_not_see_their_scale():
    """Weight standardization: w → c·w changes sam, whose ball is not scaled, and not adaptive.

    Up to its eps, 1e-5 against a filter's variance."""
    view = view_of("vgg", "weight_standardization+group")
    options: dict[str, Any] = {"kinds": ("sam", "adaptive"), "rho": (0.05,), "steps": 1}
    layers = parameters_by_layer(view.network)[:-1]
    inner = [name for layer in layers for name in layer.weight]
    larger = view.before | {name: 10 * view.before[name] for name in inner}
    value, grad = view.value_and_gradient(larger, view.batch)
    near, far = (
        observed(view, **options),
        observed(replace(view, before=larger, loss_value=value, grad=grad), **options),
    )
    change = (far["sharpness"] / near["sharpness"] - 1).abs()
    assert change[1] < 0.05 < 0.3 < change[0]


def test_zero_gradient_is_null():
    eye = torch.eye(4, dtype=torch.float64)
    found = observed(linear_view([eye], Batch(X, X), 0.01), rho=(RHO,))
    assert found["sharpness"].isnan().tolist() == [True, True, False]


def test_a_loss_that_blows_up_in_the_ball_is_infinite():
    view = linear_view([W.float()], Batch(X.float(), Y.float()), 0.01)
    found = observed(view, rho=(1e25,))
    assert found["worst_loss"].tolist() == found["sharpness"].tolist() == [math.inf] * 3


def test_a_point_without_finite_loss_is_null():
    view = quadratic()
    found = observed(replace(view, loss_value=torch.full_like(view.loss_value, math.inf)))
    assert found["sharpness"].isnan().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": []}, "x.kinds: must"),
        ({"kinds": ["sams"]}, "x.kinds"),
        ({"rho": []}, "x.rho: must"),
        ({"rho": [0.1, 0.0]}, "x.rho.*must be greater than 0"),
        ({"steps": 0}, "x.steps: must be greater than or equal to 1"),
        ({"directions": 0}, "x.directions: must be greater than or equal to 1"),
    ],
)
def test_bad_options_are_refused_when_the_file_is_read(options: dict[str, Any], message: str):
    with pytest.raises(SpecError, match=message):
        catalog.resolve("probes", {"name": "sharpness", "at": [-1], **options}, "x")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("probe", [sharpness, landscape])
def test_no_wait_for_the_device(probe: Callable[[View], Any]):
    view, device = view_of("vgg", dtype=torch.float32), torch.device("cuda")
    network = view.network.to(device)
    there = {n: tensor.to(device) for n, tensor in view.before.items()}
    batch = Batch(*(tensor.to(device) for tensor in view.batch))
    value, grad = view.value_and_gradient(there, batch)
    rng = torch.Generator().manual_seed(0)
    moved = replace(
        view, network=network, before=there, loss_value=value, grad=grad, batch=batch, rng=rng
    )
    probe(moved)  # loads what the device needs
    torch.cuda.set_sync_debug_mode("error")
    try:
        probe(moved)
    finally:
        torch.cuda.set_sync_debug_mode("default")
