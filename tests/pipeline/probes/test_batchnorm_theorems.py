"""Theorems 4.1 and 4.2 on real layers: equalities as ε → 0, and what ε leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from pipeline.probes._view import View, preserve_state
from pipeline.probes.batchnorm_theorems import batchnorm_theorems
from tests.helpers.training.views import (
    NORMALIZERS,
    build,
    cast,
    data_of,
    normalizer,
    view_of,
    view_of_step,
)


def observed(view: View, **options: Any) -> dict[str, Any]:
    with preserve_state(view.network, view.mode):
        return dict(batchnorm_theorems(view, **options))


def view_with(family: str, name: str, eps: float, affine: bool = True) -> View:
    """A view of a second step, with γ and β drawn anew: as initialized they are 1 and 0."""
    data, dtype = data_of(family), torch.float64
    norm = normalizer([{"name": name, "eps": eps, "affine": affine}])
    network = build(family, norm, data.task, dtype)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng, dtype=dtype))
    batch, probe_batch = cast(data.batch, dtype), cast(data.probe_batch, dtype)
    return view_of_step(network, batch, probe_batch, 0.01, traits=norm.traits)


@pytest.mark.parametrize("name", ["batch", "noisy_batch"])
@pytest.mark.parametrize("family", ["vgg", "resnet", "densenet", "deep_linear"])
def test_both_theorems_are_equalities_without_eps(family: str, name: str):
    found = observed(view_with(family, name, eps=1e-14))
    assert len(found["layer"]) > 3
    assert found["gap_41"].max() < 1e-8
    assert found["gap_42"].max() < 1e-8
    for term in ("mean_term", "projection_term", "gradient_squared"):
        assert (found[term] > 0).all(), term
    assert (found["curvature_term"] != 0).all()
    assert (found["gradient_squared"] < found["scaled_squared"]).all()


def test_without_an_affine_map_the_scale_is_that_of_the_deviations():
    found = observed(view_with("deep_linear", "batch", eps=1e-14, affine=False))
    assert found["gap_41"].max() < 1e-8
    assert found["gap_42"].max() < 1e-8


def test_eps_is_the_gap():
    """It grows with ε, and is of its order against the variance."""
    small, large = (observed(view_with("deep_linear", "batch", eps=e)) for e in (1e-6, 1e-4))
    assert (small["gap_41"] > 0).all()
    assert (small["gap_41"] < large["gap_41"]).all()
    assert large["gap_41"].max() < 1
    ratio = large["gap_41"] / small["gap_41"]
    assert torch.allclose(ratio, torch.full_like(ratio, 100), rtol=0.2)


def test_which_layers():
    view = view_of("vgg")
    everything, some = observed(view), observed(view, layers=[2])
    assert everything["layer"][1] == some["layer"][0] == "layer2.norm"
    assert (some["index"], some["layers"]) == ([2], [8])
    assert torch.allclose(some["curvature"], everything["curvature"][1:2])
    with pytest.raises(
        ValueError, match=r"batchnorm_theorems.layers: there is no layer 9; the last is 8"
    ):
        observed(view, layers=[9])


@pytest.mark.parametrize("norm", ["none", "layer", "weight"])
def test_networks_without_batch_normalization_have_no_rows(norm: str):
    assert norm in NORMALIZERS
    assert observed(view_of("vgg", norm)) == {"layer": [], "index": [], "layers": []}


def test_evaluation_mode_is_refused():
    with pytest.raises(ValueError, match=r"batchnorm_theorems.mode: must be train"):
        observed(replace(view_of("vgg"), mode="eval"))


def test_hooks_are_gone():
    view = view_of("vgg")
    observed(view)
    for module in view.network.modules():
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
