"""What holds for all probes of curvature: no trace, no surprise, null where there is no Hessian."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.normalizers import Traits
from pipeline.probes.cross_layer import cross_layer
from pipeline.probes.curvature import curvature
from pipeline.probes.descent_lemma import descent_lemma
from pipeline.probes.scale_invariant import scale_invariant
from tests.helpers.reference.known_hessian import Probe, observed
from tests.helpers.training import views as views
from tests.helpers.training.views import view_of

PROBES: list[Probe] = [curvature, descent_lemma, scale_invariant, cross_layer]
EACH = pytest.mark.parametrize("probe", PROBES)


NULL = {
    curvature: {"lambda_max", "lambda_min", "converged", "trace", "gradient_curvature"},
    descent_lemma: {"predicted", "ratio", "gradient_curvature", "eta_gradient_curvature"},
    scale_invariant: {"block_lambda", "block_lambda_residual", "weight_squared_times_lambda"},
    cross_layer: {"lower", "whole", "share"},
}


@EACH
def test_false_gradients_have_no_curvature(probe: Probe):
    view = replace(view_of("vgg", "batch"), traits=Traits(true_gradient=False))
    found, true = observed(probe, view), observed(probe, view_of("vgg", "batch"))
    assert found.keys() == true.keys()
    for name in NULL[probe]:
        assert all(math.isnan(value) for value in list(found[name])), name


@EACH
def test_same_step_same_numbers(probe: Probe):
    first, second = (observed(probe, view_of("resnet", "noisy_batch")) for _ in range(2))
    for name, column in first.items():
        assert [*map(repr, column)] == [*map(repr, second[name])], name


@EACH
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("norm", [*views.NORMALIZERS, "spectral_norm"])
def test_no_trace(probe: Probe, norm: str, mode: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(views.NORMALIZERS, "spectral_norm", ["spectral_norm", "batch"])
    view = replace(view_of("vgg", norm, dtype=torch.float32), mode=mode)

    def state() -> list[Tensor]:
        grads = [p.grad for p in view.network.parameters() if p.grad is not None]
        held = [*view.network.state_dict().values(), *view.before.values(), *view.after.values()]
        return [tensor.clone() for tensor in [*held, *grads, torch.get_rng_state()]]

    before = state()
    observed(probe, view)
    assert all(map(torch.equal, before, state()))


@EACH
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_diverged_parameters(probe: Probe, value: float):
    view = view_of("vgg", "batch", dtype=torch.float32)
    gone = {name: torch.full_like(tensor, value) for name, tensor in view.before.items()}
    found = observed(probe, replace(view, before=gone, after=gone, grad=gone))
    assert len({len(column) for column in found.values()}) == 1


@EACH
def test_layout_changes_nothing(probe: Probe):
    data, found = views.images(), []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = views.build("vgg", views.normalizer(["batch"]), data.task, torch.float64)
        network = network.to(memory_format=layout)  # pyright: ignore
        batch = views.cast(data.batch, torch.float64)
        batch = batch._replace(inputs=batch.inputs.contiguous(memory_format=layout))
        columns = observed(probe, views.view_of_step(network, batch, batch, 0.01))
        found.append(torch.stack([c for c in columns.values() if isinstance(c, Tensor)]))
    assert torch.allclose(found[0], found[1], rtol=1e-5, atol=1e-8, equal_nan=True)
