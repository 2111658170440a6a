"""Sizes that the scale of the weights does not change, and those that it does."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.probes._hessian import hessian_of
from pipeline.probes._layers import parameters_by_layer
from pipeline.probes._view import View, preserve_state
from pipeline.probes.curvature import curvature
from pipeline.probes.scale_invariant import scale_invariant
from tests.helpers.reference.known_hessian import normal, number, observed
from tests.helpers.training import views as views
from tests.helpers.training.views import view_of


def scaled_view(scale: float) -> View:
    """A step of a network whose weights but the last stand before batch normalization."""
    data = views.images()
    network = views.build("vgg", views.normalizer(["batch"]), data.task, torch.float64)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eps = 1e-30  # torch wants one above 0
    with torch.no_grad():
        for layer in parameters_by_layer(network)[:-1]:
            network.get_parameter(layer.weight[0]).mul_(scale)
    batch = views.cast(data.batch, torch.float64)
    return views.view_of_step(network, batch, batch, 0.01 * scale**2)


def test_scale_of_normalized_weights():
    """w → c·w: g/c, H/c² and, with η·c², the same turn; what is called scale-free is."""
    plain, scaled = (
        {k: v for k, v in found.items() if isinstance(v, Tensor)}
        for found in (
            observed(scale_invariant, scaled_view(c), blocks=4, tolerance=1e-5, products=100)
            for c in (1.0, 3.0)
        )
    )
    powers = {
        "weight_norm": 1,
        "gradient_norm": -1,
        "weight_times_gradient": 0,
        "block_lambda": -2,
        "weight_squared_times_lambda": 0,
        "angular_update": 0,
        "effective_lr": 0,
    }
    for name, power in powers.items():
        expected = plain[name][:-1] * 3.0**power
        assert expected.isfinite().sum() >= 3
        assert torch.allclose(scaled[name][:-1], expected, rtol=1e-7, atol=0, equal_nan=True), name


def test_hessian_of_scaled_weights_is_the_hessian_over_the_scale_squared():
    found = []
    for scale in (1.0, 2.0):
        view = scaled_view(scale)
        names = [n for x in parameters_by_layer(view.network)[:-1] for n in x.weight]
        with preserve_state(view.network):
            block = hessian_of(view).block(names, names)
            vector = normal(sum(view.before[name].numel() for name in names))
            found.append(block(vector))
    assert torch.allclose(found[0], 4 * found[1], rtol=1e-8, atol=1e-10)


def test_angle_of_a_tiny_step_in_float32():
    view = view_of("deep_linear", "none", dtype=torch.float32)
    name = "layer1.linear.weight"
    turned = view.before[name].clone()
    aside = torch.zeros_like(turned)
    aside[0], aside[1] = turned[1], -turned[0]
    view = replace(view, after=view.after | {name: turned + 1e-5 * aside})
    expected = 1e-5 * (aside.norm() / turned.norm()).item()
    angle = observed(scale_invariant, view, blocks=0)["angular_update"][0].item()
    assert angle == pytest.approx(expected, rel=0.02)  # float32 holds the step to a percent


def test_blocks_are_spread_from_first_to_last():
    view = view_of("vgg", "batch")
    count = len(view.network.weight_layers())
    for wanted, places in ((0, set()), (1, {0}), (2, {0, count - 1}), (99, set(range(count)))):
        column = observed(scale_invariant, view, blocks=wanted, products=2)["block_lambda"]
        assert {i for i, value in enumerate(column.tolist()) if math.isfinite(value)} == places
    with pytest.raises(ValueError, match="blocks must be at least 0, not -2"):
        observed(scale_invariant, view, blocks=-2)


def test_sizes_of_the_whole_network_come_from_its_own_probes():
    view = replace(view_of("resnet", "batch"), shared={"effective_beta": torch.tensor(5.0)})
    before = observed(scale_invariant, view, blocks=0)
    assert before["eta_lambda_max"].isnan().all()
    assert before["eta_beta"].tolist() == pytest.approx([5 * view.lr] * len(before["layer"]))
    largest = number(observed(curvature, view)["eta_lambda_max"])
    after = observed(scale_invariant, view, blocks=0)["eta_lambda_max"]
    assert after.tolist() == [largest] * len(before["layer"])
