from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.parts.normalizer_blocks import inputs, make, stop_tracking

ALONE = {"instance": [50.0, 0.0, 0.0], "layer": [0.0, 50.0, 0.0], "batch": [0.0, 0.0, 50.0]}


@pytest.mark.parametrize("name", ALONE)
def test_switchable_with_one_share_is_that_normalizer(name: str) -> None:
    module: Any = make("switchable", affine=False).features(3).double()
    with torch.no_grad():
        for shares in (module.mean_shares, module.variance_shares):
            shares.copy_(torch.tensor(ALONE[name]))
    alone = make(name, affine=False).features(3).double()
    torch.testing.assert_close(module(inputs()), alone(inputs()))


def test_switchable_treats_vectors_as_maps_of_one_pixel() -> None:
    of_maps, of_vectors = (make("switchable").features(5).double() for _ in range(2))
    vectors = inputs(maps=False)
    torch.testing.assert_close(of_maps(vectors[:, :, None, None])[:, :, 0, 0], of_vectors(vectors))
    of_maps.eval()
    of_vectors.eval()
    torch.testing.assert_close(of_maps(vectors[:, :, None, None])[:, :, 0, 0], of_vectors(vectors))


def _gated(value: float) -> Any:
    module: Any = make("batch_instance", affine=False).features(3).double()
    nn.init.constant_(module.gate, value)
    return module


@pytest.mark.parametrize(("gate", "name"), [(1.0, "batch"), (0.0, "instance")])
def test_ends_of_the_gate(gate: float, name: str) -> None:
    alone = make(name, affine=False).features(3).double()
    torch.testing.assert_close(_gated(gate)(inputs()), alone(inputs()))


def _gradient(module: Any) -> Tensor:
    weights = torch.linspace(-1, 1, inputs().numel()).view(inputs().shape)
    return torch.autograd.grad((module(inputs()) * weights).sum(), module.gate)[0]


@pytest.mark.parametrize(("outside", "end"), [(1.4, 1.0), (-0.3, 0.0)])
def test_a_training_step_clips_the_gate_and_takes_the_gradient_there(
    outside: float, end: float
) -> None:
    module = _gated(outside)
    torch.testing.assert_close(_gradient(module), _gradient(_gated(end)))
    assert (_gradient(module) != 0).all()
    assert (module.gate == end).all()


def test_a_look_at_an_unclipped_gate_leaves_it() -> None:
    module = _gated(1.4)
    stop_tracking(module)
    torch.testing.assert_close(module(inputs()), _gated(1.0)(inputs()))
    module.eval()(inputs())
    assert (module.gate == 1.4).all()
