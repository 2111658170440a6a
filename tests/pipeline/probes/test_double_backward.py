"""The replaced operations: values and two derivatives are torch's own, whatever the arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.probes._double_backward import TwiceDifferentiable

Function = Callable[..., Tensor]


def normal(*shape: int, seed: int = 0) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.requires_grad_()


def second_order(function: Function, inputs: list[Tensor]) -> list[Tensor]:
    """The value, the gradient of a nonlinear function of it, and a product with its Hessian."""
    value = function(*inputs)
    slopes = torch.autograd.grad(value.sin().square().sum(), inputs, create_graph=True)
    vectors = [torch.randn_like(slope) for slope in slopes]
    products = torch.autograd.grad(slopes, inputs, vectors, materialize_grads=True)
    return [value, *slopes, *products]


def assert_as_torch(function: Function, inputs: list[Tensor]) -> None:
    torch.manual_seed(1)
    expected = second_order(function, inputs)
    torch.manual_seed(1)
    with TwiceDifferentiable():
        found = second_order(function, inputs)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def convolution(**options: Any) -> Function:
    return lambda x, w, *b: functional.conv2d(x, w, *b, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": (2, 1), "padding": (0, 2), "dilation": 2},
        {"groups": 2},
        {"padding": "same"},
    ],
    ids=str,
)
@pytest.mark.parametrize("bias", [False, True])
def test_convolution(options: dict[str, Any], bias: bool):
    inputs = [normal(3, 4, 6, 7), normal(6, 4 // options.get("groups", 1), 3, 3, seed=1)]
    assert_as_torch(convolution(**options), inputs + [normal(6, seed=2)] * bias)


def test_convolution_of_one_sample():
    assert_as_torch(convolution(), [normal(4, 6, 7), normal(2, 4, 3, 3, seed=1)])


def test_convolution_of_data():
    """No derivative with respect to the first layer's input is wanted."""
    x = normal(3, 2, 5, 5).detach()
    assert_as_torch(lambda w: functional.conv2d(x, w, stride=2), [normal(4, 2, 3, 3, seed=1)])


def test_convolution_of_data_with_a_frozen_kernel():
    """Only the bias moves: what comes in of its gradient goes to every entry of the map."""
    x, w = normal(3, 2, 5, 5).detach(), normal(4, 2, 3, 3, seed=1).detach()
    assert_as_torch(lambda b: functional.conv2d(x, w, b), [normal(4, seed=2)])


def test_rectification():
    assert_as_torch(functional.relu, [normal(3, 4, 5, 2)])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (2, 3), "stride": 1, "dilation": 2, "ceil_mode": True},
    ],
    ids=str,
)
def test_pooling(options: dict[str, Any], layout: torch.memory_format):
    """Overlapping windows too: one entry may be picked several times."""
    x = normal(2, 3, 7, 8).detach().contiguous(memory_format=layout).requires_grad_()
    assert_as_torch(lambda x: functional.max_pool2d(x, **options), [x])


def test_pooling_of_one_sample():
    assert_as_torch(lambda x: functional.max_pool2d(x, 2), [normal(3, 6, 6)])


def test_pooled_maps_keep_their_layout():
    """Else every operation after the pooling's derivative would pay for a mixture of layouts."""
    x = normal(2, 3, 6, 6).detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    with TwiceDifferentiable():
        pooled = functional.max_pool2d(x, 2)
    (slope,) = torch.autograd.grad(pooled.sin().sum(), x, create_graph=True)
    (found,) = torch.autograd.grad(slope, pooled, torch.ones_like(slope), retain_graph=True)
    assert found.is_contiguous(memory_format=torch.channels_last)


def normalization(**options: Any) -> Function:
    def function(x: Tensor, *affine: Tensor) -> Tensor:
        names = dict(zip(("weight", "bias"), affine, strict=False))
        return functional.batch_norm(x, None, None, training=True, **names, **options)

    return function


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5, 2)])
@pytest.mark.parametrize("affine", [0, 1, 2], ids=["plain", "scale", "scale and shift"])
@pytest.mark.parametrize("eps", [1e-30, 1e-5, 0.5])
def test_batch_normalization(shape: tuple[int, ...], affine: int, eps: float):
    inputs = [normal(*shape), normal(3, seed=1), normal(3, seed=2)][: 1 + affine]
    assert_as_torch(normalization(eps=eps), inputs)


def test_batch_normalization_with_scale_0():
    scale = normal(3, seed=1).detach() * torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    assert_as_torch(normalization(), [normal(4, 3, 2, 2), scale.requires_grad_()])


def test_running_statistics_are_torchs():
    mean, variance = normal(3, seed=3).detach(), normal(3, seed=4).detach().square()

    def function(x: Tensor) -> Tensor:
        return functional.batch_norm(x, mean, variance)

    assert_as_torch(function, [normal(5, 3)])


def test_chain_with_operations_in_place():
    def function(x: Tensor, w: Tensor) -> Tensor:
        hidden = functional.relu(functional.conv2d(x, w), inplace=True)
        return functional.relu(functional.batch_norm(hidden, None, None, training=True), True)

    assert_as_torch(function, [normal(4, 2, 5, 5), normal(3, 2, 3, 3, seed=1)])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layouts(layout: torch.memory_format):
    x = normal(4, 3, 5, 5).detach().contiguous(memory_format=layout).requires_grad_()

    def function(x: Tensor, w: Tensor) -> Tensor:
        return functional.batch_norm(functional.conv2d(x, w), None, None, training=True)

    assert_as_torch(function, [x, normal(3, 3, 2, 2, seed=1)])


def test_third_derivatives_of_a_convolution_are_refused():
    x, w = normal(4, 3, 5, 5), normal(3, 3, 2, 2, seed=1)
    with TwiceDifferentiable():
        value = functional.conv2d(x, w)
    (slope,) = torch.autograd.grad(value.sin().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="not differentiated again"):
        torch.autograd.grad(slope.square().sum(), x, create_graph=True)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_third_derivatives_of_batch_normalization(layout: torch.memory_format):
    """torch's own refuses them: held against its formula."""
    x = normal(4, 3, 5, 5).detach().contiguous(memory_format=layout).requires_grad_()
    inputs = [x, normal(3, seed=1), normal(3, seed=2)]
    with TwiceDifferentiable():
        found = third_order(normalization(), inputs)
    for ours, theirs in zip(found, third_order(by_formula, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def third_order(function: Function, inputs: list[Tensor]) -> Sequence[Tensor]:
    value = function(*inputs).sin().sum()
    slopes = torch.autograd.grad(value, inputs, create_graph=True)
    squares = torch.stack([slope.square().sum() for slope in slopes]).sum()
    second = torch.autograd.grad(squares, inputs, create_graph=True)
    return torch.autograd.grad(torch.cat([x.sin().flatten() for x in second]).sum(), inputs)


def by_formula(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    unit = (x - mean) / (variance + 1e-5).sqrt()
    return unit * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
