"""Curvature where the answer is known: linear regression, and what must be said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from pipeline.data import Batch
from pipeline.probes._hessian import hessian, hessian_of
from pipeline.probes._layers import parameters_by_layer
from pipeline.probes._view import preserve_state
from pipeline.probes.curvature import curvature
from tests.helpers.reference.known_hessian import (
    SPECTRUM,
    W,
    X,
    Y,
    normal,
    number,
    observed,
    regression,
)
from tests.helpers.training.views import linear_view, view_of


def test_linear_regression():
    found = observed(curvature, regression(), tolerance=1e-9, ends="both")
    assert number(found["lambda_max"]) == pytest.approx(SPECTRUM[-1].item())
    assert number(found["lambda_min"]) == pytest.approx(SPECTRUM[0].item())
    assert number(found["converged"]) == 1
    assert number(found["eta_lambda_max"]) == pytest.approx(0.01 * SPECTRUM[-1].item())


def test_product_of_parameters_without_curvature_is_zero():
    offset = {name: torch.ones(2) for name in ("in_use", "elsewhere")}
    product = hessian(lambda at: (3 * at["in_use"]).sum(), offset)
    assert product.gradient.tolist() == [3, 3, 0, 0]
    assert product(torch.ones(4)).tolist() == [0, 0, 0, 0]
    assert product.block(["elsewhere"], ["in_use"])(torch.ones(2)).tolist() == [0, 0]


def test_trace_of_a_diagonal_hessian_is_exact():
    """zᵀHz = tr H for every sign vector; so its standard error is 0."""
    orthogonal = torch.linalg.qr(X).Q * torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    found = observed(curvature, linear_view([W], Batch(orthogonal, Y), 0.01), trace_samples=3)
    assert number(found["trace"]) == pytest.approx(3 * 2 * (1 + 4 + 9 + 16))
    assert number(found["trace_error"]) == pytest.approx(0, abs=1e-9)


def test_trace_estimate_is_unbiased_and_knows_its_error():
    found = observed(curvature, regression(), trace_samples=400)
    error = number(found["trace_error"])
    assert abs(number(found["trace"]) - 3 * SPECTRUM.sum().item()) < 4 * error
    # Var(zᵀHz) = 2·Σ of the squared entries off the diagonal.
    block = 2 * X.T @ X
    variance = 2 * 3 * (block.square().sum() - block.diag().square().sum()).item()
    assert error == pytest.approx(math.sqrt(variance / 400), rel=0.15)


def test_trace_is_an_option():
    none, one = (observed(curvature, regression(), trace_samples=n) for n in (0, 1))
    assert math.isnan(number(none["trace"]))
    assert math.isfinite(number(one["trace"]))
    assert math.isnan(number(one["trace_error"]))
    assert number(one["hvps"]) == number(none["hvps"]) + 1
    with pytest.raises(ValueError, match="trace_samples must be at least 0, not -1"):
        observed(curvature, regression(), trace_samples=-1)


def test_what_did_not_converge_says_so():
    view = view_of("vgg", "batch")
    few = observed(curvature, view, tolerance=1e-6, products=3)
    many = observed(curvature, replace(view, memory={}), tolerance=1e-6, products=200)
    assert number(few["converged"]) == 0
    assert number(few["lambda_max_residual"]) > 1e-6
    assert number(few["hvps"]) == 1 + 3 + 4
    assert number(many["converged"]) == 1
    assert number(few["lambda_max"]) < number(many["lambda_max"])


def test_coordinates_of_weights_alone():
    view = view_of("vgg", "batch")
    names = [n for layer in parameters_by_layer(view.network) for n in layer.weight]
    found = observed(curvature, view, tolerance=1e-7, products=200, parameters="weights")
    with preserve_state(view.network):
        block = hessian_of(view).block(names, names)
        vector = view.memory["vectors"][0]
        value = number(found["lambda_max"])
        assert torch.allclose(block(vector), value * vector, atol=1e-6 * value)
    assert "lambda_max" not in view.shared


def test_warm_start_takes_fewer_products():
    view = view_of("resnet", "batch")
    cold, warm = (observed(curvature, view, tolerance=1e-4) for _ in range(2))
    assert number(warm["hvps"]) < number(cold["hvps"])
    assert number(warm["lambda_max"]) == pytest.approx(number(cold["lambda_max"]), rel=1e-6)


def test_float32_is_near_float64():
    single, double = (
        observed(curvature, view_of("vgg", "batch", dtype=dtype))
        for dtype in (torch.float32, torch.float64)
    )
    for name in ("lambda_max", "gradient_curvature", "hessian_gradient_norm"):
        assert number(single[name]) == pytest.approx(number(double[name]), rel=1e-2), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("norm", ["none", "batch", "weight"])
def test_products_on_cuda_wait_for_nothing(norm: str):
    view = view_of("resnet", norm)
    moved = {
        key: {name: tensor.cuda() for name, tensor in getattr(view, key).items()}
        for key in ("before", "after", "grad")
    }
    vector = normal(sum(tensor.numel() for tensor in view.before.values()))
    with preserve_state(view.network):
        expected = hessian_of(view)(vector)
    batch = Batch(*(tensor.cuda() for tensor in view.batch))
    there = replace(view, network=view.network.cuda(), batch=batch, shared={}, **moved)
    with preserve_state(there.network):
        product, vector = hessian_of(there), vector.cuda()
        product(vector)
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = product(vector)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert torch.allclose(found.cpu(), expected, rtol=1e-8, atol=1e-10)
