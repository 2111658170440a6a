"""Signal propagation where the answer is known: Gaussian, alike and orthogonal samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.architectures import Activation, Network, chain
from pipeline.data import Batch, Task
from pipeline.probes._view import View, preserve_state
from pipeline.probes.signal_propagation import signal_propagation
from tests.helpers.training.views import view_of, view_of_step


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def observed(view: View, **options: Any) -> dict[str, Any]:
    with preserve_state(view.network):
        return dict(signal_propagation(view, **options))


def of_values(values: Tensor) -> dict[str, Any]:
    """Through the probe: a network whose first activation sees the values; its loss is ‖Wa‖²."""
    flat = values.flatten(1).shape[1]
    task = Task(loss="squared_error", input_shape=tuple(values.shape[1:]), outputs=1)
    last = chain(flatten=nn.Flatten(), linear=nn.Linear(flat, 1, bias=False))
    network = Network(task, [("first", Activation()), ("last", last)]).double()
    with torch.no_grad():
        network.get_parameter("last.linear.weight").fill_(1)
    batch = Batch(values, torch.zeros(len(values), 1).double())
    return observed(view_of_step(network, batch, batch, 1e-9))


def test_isotropic_gaussian():
    """‖A‖_F² ≈ N·F·σ² and ‖A‖₂ ≈ σ(√N + √F) (Marchenko–Pastur), cosines around 0."""
    samples, features, sigma = 300, 1200, 3.0
    found = of_values(sigma * normal(samples, features))
    expected = samples * features / (samples**0.5 + features**0.5) ** 2
    assert found["variance"].item() == pytest.approx(sigma**2, rel=0.01)
    assert found["stable_rank"].item() == pytest.approx(expected, rel=0.03)
    assert found["sample_cosine"].item() == pytest.approx(0, abs=0.001)


def test_samples_that_are_alike_have_rank_one():
    one = normal(1, 3, 4, 4)
    found = of_values(one * torch.arange(1, 6).view(5, 1, 1, 1))
    assert found["stable_rank"].item() == pytest.approx(1)
    assert found["sample_cosine"].item() == pytest.approx(1)


def test_orthogonal_samples_have_full_rank():
    found = of_values(2 * torch.eye(4).double())
    assert found["stable_rank"].item() == pytest.approx(4)
    assert found["sample_cosine"].item() == pytest.approx(0, abs=1e-12)
    assert found["variance"].item() == pytest.approx(4 * 3 / 16)


def test_gradient_with_respect_to_activations():
    """L = Σ_n (Σ_j a_nj)², so that ∂L/∂a_nj = 2·Σ_j a_nj."""
    values = normal(6, 5)
    expected = (2 * values.sum(1, keepdim=True).expand(6, 5)).norm().item()
    assert of_values(values)["gradient_norm"].item() == pytest.approx(expected)


def test_one_sample_and_no_signal_are_null():
    assert of_values(normal(1, 5))["sample_cosine"].isnan().all()
    nothing = of_values(torch.zeros(3, 5).double())
    assert nothing["variance"].tolist() == nothing["gradient_norm"].tolist() == [0]
    assert nothing["stable_rank"].isnan().all()
    assert nothing["sample_cosine"].isnan().all()


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_stable_rank_by_either_gram_matrix(shape: tuple[int, int]):
    values = normal(*shape)
    singular = torch.linalg.svdvals(values).square()
    found = of_values(values)["stable_rank"].item()
    assert found == pytest.approx((singular.sum() / singular[0]).item())


def test_chosen_layers_and_one_pass():
    view, passes = view_of("vgg"), []
    everything = observed(view)
    view.network.register_forward_hook(lambda *_: passes.append(1))
    some = observed(view, layers=[3, 7])
    assert len(passes) == 1
    assert (some["index"], some["layers"]) == ([3, 7], [8, 8])
    assert torch.allclose(some["gradient_norm"], everything["gradient_norm"][[2, 6]])
    with pytest.raises(
        ValueError, match=r"signal_propagation.layers: there is no layer 9; the last is 8"
    ):
        observed(view, layers=[9])
    broken = replace(view, batch=Batch(torch.zeros(2, 9, 3), view.batch.targets))
    with pytest.raises((RuntimeError, ValueError)):
        observed(broken)
    assert not any(module._forward_pre_hooks for module in view.network.modules())
