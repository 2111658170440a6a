"""Moment ICS where the answer is known: linear layers whose outputs are shifted and scaled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.architectures import Activation, Network, chain
from pipeline.data import Batch, Task
from pipeline.probes._view import View, preserve_state
from pipeline.probes.moment_ics import moment_ics
from tests.helpers.training.views import linear_view, view_of, view_of_step

UNITS = 10


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def observed(view: View, **changes: Any) -> dict[str, Any]:
    """The records of the activations, where no place is named."""
    options: dict[str, Any] = {"places": ["activation"], **changes}
    with preserve_state(view.network):
        return dict(moment_ics(view, **options))


def layer_view() -> View:
    """One linear layer with a bias, an activation and an output layer; inputs of mean 0."""
    task = Task(loss="squared_error", input_shape=(4,), outputs=2)
    hidden = chain(linear=nn.Linear(4, UNITS), activation=Activation())
    network = Network(task, [("hidden", hidden), ("out", chain(linear=nn.Linear(UNITS, 2)))])
    inputs = normal(30, 4)
    batch = Batch(inputs - inputs.mean(0), normal(30, 2, seed=1))
    network = network.double()
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=seed + 5))
    return view_of_step(network, batch, batch, 0.01, step=0)


def changed(view: View, **functions: Callable[[Tensor], Tensor]) -> View:
    """The view of an update that does this to parameters of the hidden layer, and nothing else."""
    after = dict(view.before)
    for name, function in functions.items():
        after[f"hidden.linear.{name}"] = function(after[f"hidden.linear.{name}"])
    return replace(view, after=after)


def spread(view: View) -> Tensor:
    weight = view.before["hidden.linear.weight"]
    return (view.probe_batch.inputs @ weight.T).std(0, correction=0)


def test_known_shift_of_the_mean():
    view = layer_view()
    by = torch.arange(1, UNITS + 1).double() / 10
    view = changed(view, bias=lambda bias: bias - by * spread(view))
    found = observed(view)
    assert found["mean_shift"].item() == pytest.approx(by.mean().item())
    assert found["mean_shift_p90"].item() == pytest.approx(np.quantile(by, 0.9))
    assert found["log_std_shift"].item() == pytest.approx(0, abs=1e-12)
    moved = (by * spread(view)).norm().item()
    assert found["mean_shift_per_update"].item() == pytest.approx(by.mean().item() / moved)


def test_known_scale():
    factors = torch.tensor([0.5, 2.0]).double().repeat(UNITS // 2)
    view = changed(layer_view(), weight=lambda weight: weight * factors[:, None])
    found = observed(view)
    assert found["log_std_shift"].item() == pytest.approx(math.log(2))
    assert found["log_std_shift_p90"].item() == pytest.approx(math.log(2))
    assert found["mean_shift"].item() == pytest.approx(0, abs=1e-12)


def test_drift_is_since_the_start_and_zero_there():
    view = changed(layer_view(), bias=lambda bias: bias + 1)
    first = observed(view)
    for name in ("mean_drift", "mean_drift_p90", "log_std_drift", "log_std_drift_p90"):
        assert first[name].tolist() == [0], name
    following = replace(view, step=1, before=view.after)
    assert observed(following)["mean_drift"].tolist() == first["mean_shift"].tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", ["vgg", "densenet"])
def test_drift_at_step_0_is_exactly_zero_under_noise(family: str, dtype: torch.dtype):
    view = view_of(family, "noisy_batch", dtype=dtype)
    found = observed(replace(view, step=0, initial=view.before))
    assert found["mean_drift_p90"].tolist() == [0] * len(found["layer"])


def test_dead_units_are_left_out_and_counted():
    """Units 0 and 1 are constant before the update, 1 and 2 after it; the others double."""

    def weight(*dead: int, factor: float = 1.0) -> dict[str, Tensor]:
        alive = torch.full((UNITS, 1), factor).double().index_fill(0, torch.tensor(dead), 0)
        return {"hidden.linear.weight": start["hidden.linear.weight"] * alive}

    view = layer_view()
    start = view.before
    before, after = start | weight(0, 1), start | weight(1, 2, factor=2.0)
    found = observed(replace(view, before=before, after=after))
    assert found["dead"].tolist() == [pytest.approx(0.2)]
    assert found["log_std_shift"].item() == pytest.approx(math.log(2))
    assert found["mean_shift"].item() == pytest.approx(0, abs=1e-12)
    assert found["mean_drift"].item() == pytest.approx(0, abs=1e-12)


def test_all_dead_is_null():
    view = layer_view()
    dead = {n: torch.zeros_like(t) for n, t in view.before.items()}
    found = observed(replace(view, initial=dead, before=dead, after=dead))
    assert found["dead"].tolist() == [1]
    for name in ("mean_shift", "log_std_shift_p90", "mean_drift", "mean_shift_per_update"):
        assert found[name].isnan().all(), name
    assert found["q50"].tolist() == [0]


@pytest.mark.parametrize("constant", [0.1, 1e-3, 12345.678])
def test_constant_units_are_dead_in_float32(constant: float):
    """A mean summed in float32 is not the constant; σ must be 0 nevertheless."""
    task = Task(loss="squared_error", input_shape=(3, 5, 5), outputs=75)
    stages = [
        ("first", Activation()),
        ("last", chain(flatten=nn.Flatten(), linear=nn.Linear(75, 2))),
    ]
    network = Network(task, stages)
    inputs = torch.full((100, 3, 5, 5), constant)
    batch = Batch(inputs, torch.zeros(100, 2))
    assert observed(view_of_step(network, batch, batch, 1e-9))["dead"].tolist() == [1]


def test_the_next_step_has_its_own_noise():
    """Without an update, the moments under noisy batch normalization move all the same."""
    for norm, moves in (("noisy_batch", True), ("batch", False)):
        view = view_of("resnet", norm)
        found = observed(replace(view, after=view.before))
        assert bool((found["mean_shift"] > 0).all()) == moves, norm
        assert found["mean_shift_per_update"].isnan().all(), norm


def quantiles_of(values: Tensor) -> list[float]:
    """Through the probe: a network whose first activation sees the values."""
    flat = values.flatten(1).shape[1]
    task = Task(loss="squared_error", input_shape=tuple(values.shape[1:]), outputs=1)
    last = chain(flatten=nn.Flatten(), linear=nn.Linear(flat, 1))
    network = Network(task, [("first", Activation()), ("last", last)])
    batch = Batch(values, torch.zeros(len(values), 1))
    found = observed(view_of_step(network, batch, batch, 1e-9))
    return [found[name].item() for name in ("q05", "q25", "q50", "q75", "q95")]


def test_quantiles_of_a_small_layer_are_exact():
    values = normal(8, 16, 8, 16).float()
    assert values.numel() == 2**14
    expected = np.quantile(values.numpy(), (0.05, 0.25, 0.5, 0.75, 0.95))
    assert quantiles_of(values) == pytest.approx(expected.tolist(), rel=1e-6)


@pytest.mark.parametrize("kind", ["noise", "by_channel", "by_row", "by_sample", "channels_last"])
def test_quantiles_of_a_large_layer(kind: str):
    """Sampled: each lies between the true quantiles 0.015 below and above its level."""
    shape = (32, 64, 16, 16)
    values = normal(*shape).float()
    ramps = {"by_sample": 0, "by_channel": 1, "by_row": 2}
    if kind in ramps:
        size = shape[ramps[kind]]
        ramp = torch.arange(size).view([-1 if d == ramps[kind] else 1 for d in range(4)])
        values = 0.01 * values + ramp / size
    if kind == "channels_last":
        values = values.to(memory_format=torch.channels_last)
    for level, found in zip((0.05, 0.25, 0.5, 0.75, 0.95), quantiles_of(values), strict=True):
        low, high = np.quantile(values.numpy(), (level - 0.015, level + 0.015))
        assert low <= found <= high


def test_no_activations_are_refused_where_they_are_asked_for():
    view = linear_view([normal(2, 2)], Batch(normal(3, 2), normal(3, 2)), 0.1)
    with pytest.raises(ValueError, match="moment_ics needs a network with activations"):
        observed(view)
    assert observed(view, places=["output", "input"])["place"] == ["output", "input"]


def test_after_batch_normalization_moments_are_its_parameters_and_before_it_they_are_not():
    """The reason for the place ``output``: a weight scaled by 3 is seen there alone."""
    view = view_of("vgg", "batch")
    first = "layer1.conv.weight"
    scaled = replace(view, after=view.before | {first: 3 * view.before[first]})
    found = observed(scaled, places=["activation", "output"], layers=[1])
    assert found["place"] == ["activation", "output"]
    after, before = found["log_std_shift"].tolist()
    assert after == pytest.approx(0, abs=1e-3)  # what eps leaves
    assert before == pytest.approx(math.log(3))


def test_chosen_layers_are_rows_of_all_layers():
    view = view_of("vgg")  # 8 activations, 9 weight layers
    places = ["activation", "output", "input"]
    everything = observed(view, places=places)
    some = observed(replace(view, memory={}), places=places, layers=[9, 2])
    where = list(zip(*(some[k] for k in ("place", "index", "layers")), strict=True))
    assert where == [
        ("activation", 2, 8),
        ("output", 2, 9),
        ("output", 9, 9),
        ("input", 2, 9),
        ("input", 9, 9),
    ]
    rows = [
        i
        for i, (p, n) in enumerate(zip(everything["place"], everything["index"], strict=True))
        if (p, n) in {(place, index) for place, index, _ in where}
    ]
    assert some["mean_shift"].tolist() == everything["mean_shift"][rows].tolist()
    with pytest.raises(ValueError, match=r"moment_ics.layers: there is no layer 10; the last is 9"):
        observed(view, places=places, layers=[10])


def test_hooks_are_gone_even_after_an_error():
    view = view_of("vgg")
    broken = replace(view, probe_batch=Batch(torch.zeros(2, 9, 3), view.probe_batch.targets))
    with pytest.raises((RuntimeError, ValueError)):
        observed(broken)
    hooks = [len(layer.module._forward_pre_hooks) for layer in view.network.activation_layers()]
    assert set(hooks) == {0}
