"""Every normalizer against its formula in float64: forward, all gradients, train and eval."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.parts.normalizer_blocks import NAMES, block, cases, expected, inputs
from tests.pipeline.normalizers.references import REFERENCES

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}


def test_table_lists_the_catalog() -> None:
    assert sorted(REFERENCES) == sorted(NAMES)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "options", "maps"), cases())
def test_outputs_and_gradients(
    name: str, options: dict[str, Any], maps: bool, training: bool, dtype: torch.dtype
) -> None:
    module = block(name, options, maps=maps)
    _warm(module, maps)
    module.train(training)
    parameters = {key: value.detach().requires_grad_() for key, value in module.named_parameters()}
    batch = inputs(maps=maps).requires_grad_()
    buffers = dict(module.named_buffers())
    wanted, _ = expected(name, options, parameters, buffers, batch, training=training)
    wanted_gradients = _gradients(wanted, [batch, *parameters.values()])

    converted = deepcopy(module).to(dtype)
    leaf = batch.detach().to(dtype).requires_grad_()
    outputs = converted(leaf)
    gradients = _gradients(outputs, [leaf, *converted.parameters()])

    assert outputs.dtype == dtype
    _close(outputs, wanted, TOLERANCE[dtype])
    for gradient, wanted_gradient in zip(gradients, wanted_gradients, strict=True):
        _close(gradient, wanted_gradient, TOLERANCE[dtype])


@pytest.mark.parametrize(("name", "options", "maps"), cases())
def test_running_statistics(name: str, options: dict[str, Any], maps: bool) -> None:
    module = block(name, options, maps=maps)
    parameters = {key: value.detach() for key, value in module.named_parameters()}
    buffers = _floating(module)
    for seed in range(3):
        batch = inputs(maps=maps, seed=seed)
        _, buffers = expected(name, options, parameters, buffers, batch, training=True)
        module(batch)
    assert buffers.keys() == _floating(module).keys()
    for key, buffer in _floating(module).items():
        _close(buffer, buffers[key], 1e-12)


def _warm(module: nn.Module, maps: bool) -> None:
    """Move running statistics away from their start."""
    for seed in range(10, 13):
        module(inputs(maps=maps, seed=seed))


def _floating(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in module.named_buffers() if v.is_floating_point()}


def _gradients(outputs: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """Of a weighted sum of the outputs' squares, so that no gradient vanishes by symmetry."""
    weights = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    return torch.autograd.grad((weights * (outputs + 1) ** 2).sum(), leaves)


def _close(actual: Tensor, wanted: Tensor, tolerance: float) -> None:
    scale = max(1.0, wanted.abs().max().item())
    torch.testing.assert_close(actual.double(), wanted, rtol=0, atol=tolerance * scale)
