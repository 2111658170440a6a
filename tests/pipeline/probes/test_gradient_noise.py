"""Gradient noise where the answer is known: the gradient's variance in linear regression."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.data import Batch
from pipeline.probes._view import View, preserve_state
from pipeline.probes.gradient_noise import gradient_noise
from tests.helpers.training.views import linear_view, view_of


def normal(*shape: int, rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def observed(view: View, **options: Any) -> dict[str, Any]:
    with preserve_state(view.network):
        return dict(gradient_noise(view, **options))


def test_variance_of_linear_regression():
    """For ‖Wx − y‖² with x, y ~ N(0, 1) at W = 0, g = −2·Σ yxᵀ, and every entry has variance 4|B|.

    So E‖g_B − g_B′‖² = 2·4|B|·6 for a W of 6 entries; the mean over 200 pairs is within 10 %.
    """
    rng, size = torch.Generator().manual_seed(0), 20

    def draw(count: int) -> Batch:
        return Batch(normal(count, 3, rng=rng), normal(count, 2, rng=rng))

    squares = []
    for _ in range(200):
        view = linear_view([torch.zeros(2, 3).double()], draw(size), 0.1)
        squares.append(observed(replace(view, sample_batch=draw))["l2"][1].square())
    assert torch.stack(squares).mean().item() == pytest.approx(8 * size * 6, rel=0.1)


def test_the_same_batch_again_is_no_noise():
    view = view_of("resnet", "noisy_batch")
    found = observed(replace(view, sample_batch=lambda size: view.batch))
    assert found["l2"].tolist() == [0] * len(found["layer"])
    assert torch.allclose(found["cosine"], torch.ones(len(found["layer"])).double())


def test_the_other_batch_is_as_large_and_drawn_by_the_probe():
    view, asked = view_of("vgg"), []

    def draw(size: int) -> Batch:
        asked.append(size)
        return view.probe_batch

    observed(replace(view, sample_batch=draw))
    assert asked == [len(view.batch.targets)]


def test_the_network_is_all_its_layers():
    view = view_of("vgg")
    found = observed(view, parameters="all")
    whole, *layers = found["l2"].square().tolist()
    assert whole == pytest.approx(sum(layers))
    assert (found["layer"][0], found["index"][0]) == ("network", 0)
    some = observed(view, parameters="all", layers=[3])
    assert some["index"] == [0, 3]
    assert some["l2"].tolist() == found["l2"][[0, 3]].tolist()
    with pytest.raises(
        ValueError, match=r"gradient_noise.layers: there is no layer 99; the last is 9"
    ):
        observed(view, layers=[99])


def test_one_gradient():
    view, passes = view_of("deep_linear"), []
    view.network.register_forward_hook(lambda *_: passes.append(1))
    observed(view)
    assert len(passes) == 1
