"""The probes of curvature against the Hessian written out, in float64, on tiny networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.catalog import registry as catalog
from pipeline.normalizers import Normalizer
from pipeline.probes._hessian import hessian_of
from pipeline.probes._view import Records, View, preserve_state
from pipeline.probes.cross_layer import cross_layer
from pipeline.probes.curvature import curvature
from pipeline.probes.descent_lemma import descent_lemma
from pipeline.probes.scale_invariant import scale_invariant
from tests.helpers.reference import hessian as twins
from tests.helpers.training import views as views

RTOL = 1e-8
"""Rounding of sums of products of float64; an eigenvalue's error is its residual's square."""
CERTIFIED = 1e-6
TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "vgg": ("vgg11", {"width": 0.01}),
    "resnet": ("resnet", {"depth": 8, "width": 0.0625}),
    "densenet": ("densenet", {"depth": 7, "growth": 4, "width": 0.1}),
    "deep_linear": ("deep_linear", {"depth": 4}),
}
CASES = [
    *[("deep_linear", norm) for norm in views.NORMALIZERS if "group" not in norm],
    *[("vgg", norm) for norm in ("none", "batch", "weight_standardization+group")],
    *[("resnet", norm) for norm in ("batch", "noisy_batch", "weight")],
    *[("densenet", norm) for norm in ("batch", "layer")],
]


def tiny_view(family: str, made: Normalizer, monkeypatch: pytest.MonkeyPatch, size: int) -> View:
    monkeypatch.setitem(views.FAMILIES, family, TINY[family])
    data = views.vectors() if family == "deep_linear" else views.images(samples=3, size=size)
    network = views.build(family, made, data.task, torch.float64)
    batch, probe_batch = (views.cast(b, torch.float64) for b in (data.batch, data.probe_batch))
    views.take_step(network, probe_batch, 0.01, 0)
    return views.view_of_step(network, batch, probe_batch, 0.01, traits=made.traits)


def assert_rows(found: Records, expected: twins.Rows) -> None:
    for name, values in expected.items():
        column = found[name]
        assert isinstance(column, Tensor)
        scale = max(abs(value) for value in values)
        assert column.tolist() == pytest.approx(values, rel=RTOL, abs=RTOL * scale), name


@pytest.mark.parametrize(("family", "norm"), CASES)
def test_every_probe_of_curvature(family: str, norm: str, monkeypatch: pytest.MonkeyPatch):
    made = views.normalizer(views.NORMALIZERS[norm])
    view = tiny_view(family, made, monkeypatch, 4)
    matrix = twins.dense(view)
    assert torch.allclose(matrix, matrix.mT, rtol=0, atol=1e-10 * matrix.abs().max().item())
    with preserve_state(view.network):
        found = curvature(view, tolerance=CERTIFIED, products=300, ends="both", trace_samples=3)
        along, layers = descent_lemma(view), cross_layer(view)
        blocks = scale_invariant(view, blocks=99, tolerance=CERTIFIED, products=200)
    assert found["converged"] == [1]
    assert_rows(found, {k: [v] for k, v in twins.curvature(view, matrix, signs(view)).items()})
    assert_rows(along, {k: [v] for k, v in twins.descent_lemma(view, matrix).items()})
    assert_rows(layers, twins.cross_layer(view, matrix))
    assert_rows(blocks, twins.scale_invariant(view, matrix))
    assert {*map(float, blocks["eta_lambda_max"])} == {*map(float, found["eta_lambda_max"])}


def signs(view: View, count: int = 3) -> list[Tensor]:
    """What the probe draws after the eigenvalues' start."""
    like = twins.flat(view.before, view)
    rng = torch.Generator().manual_seed(view.rng.initial_seed())
    torch.randn(like.shape, generator=rng, dtype=like.dtype)
    return [torch.randint(2, like.shape, generator=rng).to(like) * 2 - 1 for _ in range(count)]


def differentiable_normalizers() -> list[str]:
    made = {name: make(name) for name in catalog.parts("normalizers")}
    return [name for name, norm in made.items() if norm.traits.true_gradient]


def make(name: str) -> Normalizer:
    part, options = catalog.parts("normalizers")[name], {}
    if "channels_per_group" in part.options:
        options = {"channels_per_group": 2}
    return catalog.load(part)(**options)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", differentiable_normalizers())
def test_products_under_every_normalizer(name: str, mode: Any, monkeypatch: pytest.MonkeyPatch):
    view = replace(tiny_view("resnet", make(name), monkeypatch, 8), mode=mode)
    places, gradient = twins.plain_gradient(view)
    torch.manual_seed(0)
    vector = torch.randn_like(gradient)
    expected = twins.rows_times_hessian(places, gradient, vector[None])[0]
    with preserve_state(view.network, mode):
        product = hessian_of(view)
        assert torch.allclose(product.gradient, gradient, rtol=RTOL, atol=1e-10)
        found = product(vector)
    assert (found - expected).norm() < RTOL * expected.norm()
