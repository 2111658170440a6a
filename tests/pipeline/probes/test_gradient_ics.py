"""Gradient ICS where the answer is known, and the work it may cost."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian

from pipeline.data import Batch
from pipeline.data._objective import objective
from pipeline.probes._layers import parameters_by_layer
from pipeline.probes._vectors import flat, norm
from pipeline.probes._view import View, preserve_state
from pipeline.probes.gradient_ics import gradient_ics
from tests.helpers.training.views import FAMILIES, linear_view, view_of


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def observed(view: View, **options: Any) -> dict[str, Any]:
    with preserve_state(view.network):
        return dict(gradient_ics(view, **options))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_first_layer_has_no_shift(family: str, dtype: torch.dtype):
    records = observed(view_of(family, dtype=dtype))
    assert records["l2"][0] == 0
    assert records["relative"][0] == 0
    assert records["cosine"][0] == pytest.approx(1, abs=1e-7)
    assert math.isnan(records["per_update"][0])
    assert (records["l2"][1:] > 0).all()


@pytest.mark.parametrize("norm", ["none", "batch", "noisy_batch", "weight"])
@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_prefix_shifts_nothing(family: str, norm: str):
    view = view_of(family, norm, dtype=torch.float32)
    frozen = 3
    layers = parameters_by_layer(view.network)
    still = {name for layer in layers[:frozen] for name in layer.all}
    after = {n: view.before[n] if n in still else tensor for n, tensor in view.after.items()}
    records = observed(replace(view, after=after))
    assert records["l2"][: frozen + 1].tolist() == [0] * (frozen + 1)
    assert records["per_update"][: frozen + 1].isnan().all()
    assert (records["l2"][frozen + 1 :] > 0).all()


def test_two_linear_layers_in_closed_form():
    first, second, lr = normal(4, 3), normal(2, 4, seed=1), 0.003
    x, y = normal(7, 3, seed=2), normal(7, 2, seed=3)
    records = observed(linear_view([first, second], Batch(x, y), lr))

    def gradient_of_second(w: Tensor) -> Tensor:
        return 2 * (second @ w @ x.T - y.T) @ (w @ x.T).T

    step = lr * 2 * second.T @ (second @ first @ x.T - y.T) @ x
    old, new = gradient_of_second(first), gradient_of_second(first - step)
    shift = (old - new).norm().item()
    assert records["l2"][1].item() == pytest.approx(shift, rel=1e-10)
    assert records["relative"][1].item() == pytest.approx(shift / old.norm().item(), rel=1e-10)
    assert records["per_update"][1].item() == pytest.approx(shift / step.norm().item(), rel=1e-10)
    cosine = (old * new).sum() / (old.norm() * new.norm())
    assert records["cosine"][1].item() == pytest.approx(cosine.item(), rel=1e-10)


def test_small_steps_give_the_hessian_below_the_diagonal():
    """‖G − G'‖/η → ‖H_{i,<i} g_{<i}‖; the error is of the order of η."""
    weights = [normal(3, 3, seed=seed) for seed in range(4)]
    x, y, lr = normal(5, 3, seed=8), normal(5, 3, seed=9), 1e-8
    records = observed(linear_view(weights, Batch(x, y), lr))

    def loss(vector: Tensor) -> Tensor:
        out = x
        for weight in vector.view(4, 3, 3):
            out = out @ weight.T
        return (out - y).square().sum()

    point = torch.stack(weights).flatten().requires_grad_()
    curvature = hessian(loss, point)
    assert isinstance(curvature, Tensor)
    (gradient,) = torch.autograd.grad(loss(point), point)
    for layer in range(1, 4):
        own, earlier = slice(9 * layer, 9 * layer + 9), slice(0, 9 * layer)
        expected = (curvature[own, earlier] @ gradient[earlier]).norm().item()
        assert records["l2"][layer].item() / lr == pytest.approx(expected, rel=1e-4)


def test_prefix_runs_once_and_every_suffix_once():
    """Stage j of k (from 0) runs once updated, and once for each of the layers 2 … j + 1."""
    view = view_of("deep_linear")
    forward, backward, count = Counter(), Counter(), len(view.network)

    def seen(stage: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        index = list(view.network).index(stage)
        forward[index] += 1
        if output.requires_grad:
            output.register_hook(lambda _: backward.update([index]))

    for stage in view.network:
        stage.register_forward_hook(seen)
    observed(view)
    assert [forward[j] for j in range(count)] == [*range(1, count), count - 1]
    assert [backward[j] for j in range(count)] == [*range(count)]


def test_chosen_layers_are_those_of_all_and_cost_their_suffixes_alone():
    view = view_of("deep_linear")  # 5 layers
    everything, forward, count = observed(view), Counter(), len(view.network)
    for stage in view.network:
        stage.register_forward_hook(lambda stage, _, __: forward.update([stage]))
    some = observed(view, layers=[4, 1])
    assert (some["index"], some["layers"]) == ([1, 4], [5, 5])
    for key in ("l2", "relative", "cosine", "per_update", "gradient_norm"):
        both = torch.stack([some[key], everything[key][[0, 3]]])
        assert torch.equal(both[0].nan_to_num(), both[1].nan_to_num()), key
    assert sum(forward.values()) == count  # three stages before layer 4, then the rest
    with pytest.raises(
        ValueError, match=r"gradient_ics.layers: there is no layer 6; the last is 5"
    ):
        observed(view, layers=[1, 6])


def test_weights_and_all():
    view = view_of("vgg", "batch")
    weights, everything = observed(view), observed(view, parameters="all")
    assert (everything["gradient_norm"] > weights["gradient_norm"]).all()
    assert weights["layer"] == everything["layer"]
    # The update before a layer is all of it, whatever is measured.
    moved = {
        n: view.after[n] - view.before[n] for n in ("layer1.conv.weight", "layer1.norm.weight")
    }
    moved["layer1.norm.bias"] = view.after["layer1.norm.bias"] - view.before["layer1.norm.bias"]
    before = norm(flat(moved))
    assert torch.allclose(weights["l2"][1] / before, weights["per_update"][1])


def test_zero_gradient_is_null_and_raises_nothing():
    weights = [torch.eye(3, dtype=torch.float64)] * 3
    x = normal(4, 3)
    records = observed(linear_view(weights, Batch(x, x), 0.1))
    assert records["gradient_norm"].tolist() == [0, 0, 0]
    for name in ("relative", "cosine", "per_update"):
        assert records[name].isnan().all(), name


def test_shift_without_a_gradient_is_null_not_infinite():
    view = view_of("deep_linear", "none")
    grad = {name: torch.zeros_like(tensor) for name, tensor in view.grad.items()}
    records = observed(replace(view, grad=grad))
    assert (records["l2"][1:] > 0).all()
    assert records["relative"].isnan().all()


def test_parameter_outside_the_loss_has_gradient_zero():
    view = view_of("vgg", "none")
    first = view.network.get_submodule("layer1")
    assert isinstance(first, nn.Module)
    first.register_parameter("unused", nn.Parameter(torch.ones(2, dtype=torch.float64)))
    extra = {"layer1.unused": torch.ones(2, dtype=torch.float64)}
    view = replace(
        view,
        before=view.before | extra,
        after=view.after | extra,
        grad=view.grad | {"layer1.unused": torch.zeros(2, dtype=torch.float64)},
    )
    assert observed(view, parameters="all")["l2"].isfinite().all()


def test_objective_of_stages_is_that_of_the_network():
    view = view_of("resnet", "batch")
    with preserve_state(view.network):
        stages = range(len(view.network))
        outputs = view.network.run_stages(view.before, view.batch.inputs, stages)
        value = objective(view.network.task, outputs, view.batch.targets)
        assert value == view.loss(view.before, view.batch) == view.loss_value
