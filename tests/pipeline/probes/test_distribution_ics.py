"""Distribution ICS where the answer is known: shifted and scaled linear units."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.architectures import Activation, Network, chain
from pipeline.data import Batch, Task
from pipeline.probes._view import View, preserve_state
from pipeline.probes.distribution_ics import distribution_ics
from tests.helpers.training.views import view_of, view_of_step

UNITS = 10


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def observed(view: View, **options: Any) -> dict[str, Any]:
    with preserve_state(view.network):
        return dict(distribution_ics(view, **options))


def layer_view(samples: int = 50) -> View:
    """Ten linear units with a bias before an activation; the step changes nothing."""
    task = Task(loss="squared_error", input_shape=(4,), outputs=2)
    hidden = chain(linear=nn.Linear(4, UNITS), activation=Activation())
    network = Network(task, [("hidden", hidden), ("out", chain(linear=nn.Linear(UNITS, 2)))])
    network = network.double()
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=seed + 5))
    batch = Batch(normal(samples, 4), normal(samples, 2, seed=1))
    view = view_of_step(network, batch, batch, 0.01)
    return replace(view, after=view.before)


def deviations(view: View) -> Tensor:
    weight = view.before["hidden.linear.weight"]
    return (view.probe_batch.inputs @ weight.T).std(0, correction=0)


def test_a_shift_is_its_own_distance():
    view = layer_view()
    by = torch.arange(1, UNITS + 1).double() / 10
    bias = "hidden.linear.bias"
    view = replace(view, after=view.before | {bias: view.before[bias] - by * deviations(view)})
    found = observed(view)
    for name in ("w1", "gaussian_w2"):
        assert found[name].item() == pytest.approx(by.mean().item())
        assert found[f"{name}_p90"].item() == pytest.approx(by.quantile(0.9).item())


def test_a_scale_is_the_mean_distance_from_the_centre():
    """x → μ + 2(x − μ) moves a value by |x − μ|, and keeps the order: W₁ = mean |x − μ|."""
    view = layer_view()
    weight, bias = "hidden.linear.weight", "hidden.linear.bias"
    values = view.probe_batch.inputs @ view.before[weight].T
    scaled = {weight: 2 * view.before[weight], bias: view.before[bias] - values.mean(0)}
    found = observed(replace(view, after=view.before | scaled))
    spread = (values - values.mean(0)).abs().mean(0) / deviations(view)
    assert found["w1"].item() == pytest.approx(spread.mean().item())
    assert found["gaussian_w2"].item() == pytest.approx(1)


def test_no_update_is_no_distance_and_the_floor_is_that_of_the_samples():
    view = layer_view()
    far = Batch(view.probe_batch.inputs + 1, view.probe_batch.targets)
    found = observed(replace(view, second_probe_batch=far))
    moved = view.before["hidden.linear.weight"].sum(1).abs() / deviations(view)
    assert found["w1"].tolist() == found["gaussian_w2_p90"].tolist() == [0]
    assert found["w1_floor"].item() == pytest.approx(moved.mean().item())
    assert found["gaussian_w2_floor"].item() == pytest.approx(moved.mean().item())


def test_without_a_second_batch_the_floor_is_null():
    found = observed(replace(view_of("vgg"), second_probe_batch=None))
    assert found["w1_floor"].isnan().all()
    assert found["gaussian_w2_floor"].isnan().all()
    assert (found["w1"] > 0).all()


def test_units_without_spread_are_left_out():
    view = layer_view()
    weight = view.before["hidden.linear.weight"].index_fill(0, torch.tensor([0, 3]), 0)
    before = view.before | {"hidden.linear.weight": weight}
    after = before | {"hidden.linear.bias": view.before["hidden.linear.bias"] + 1}
    found = observed(replace(view, before=before, after=after))
    alive = [i for i in range(UNITS) if i not in (0, 3)]
    expected = (1 / deviations(view)[alive]).mean().item()
    assert found["w1"].item() == pytest.approx(expected)
    gone = {name: torch.zeros_like(tensor) for name, tensor in view.before.items()}
    assert observed(replace(view, before=gone))["w1"].isnan().all()


def test_gaussian_samples_have_the_distance_of_gaussians():
    """Of large samples, W₁ of a shift is the shift, and its floor falls as 1/√M."""
    view = layer_view(samples=20_000)
    other = Batch(normal(20_000, 4, seed=8), view.probe_batch.targets)
    found = observed(replace(view, second_probe_batch=other))
    assert 0 < found["w1_floor"].item() < 4 / math.sqrt(20_000)


def test_three_runs_and_no_more_than_needed():
    view, runs = view_of("deep_linear"), []
    for stage in view.network:
        stage.register_forward_hook(lambda *_: runs.append(1))
    observed(view)
    count = len(view.network)
    runs.clear()
    observed(view, layers=[2])
    assert len(runs) == 3 * 2
    assert count > 2


def test_hooks_are_gone_even_after_an_error():
    view = view_of("vgg")
    broken = replace(view, probe_batch=Batch(torch.zeros(2, 9, 3), view.probe_batch.targets))
    with pytest.raises((RuntimeError, ValueError)):
        observed(broken, places=["activation", "output", "input"])
    for module in view.network.modules():
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
