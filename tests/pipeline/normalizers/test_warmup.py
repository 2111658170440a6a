"""Normalizers whose training forward depends on the steps before: schedules and memories."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad

from tests.helpers.parts.normalizer_blocks import block, inputs, make, stop_tracking

STEPPED = ("batch_renorm", "moving_average_batch", "power_norm")
WEIGHTS = torch.randn(5, 3, 3, 2, generator=torch.Generator().manual_seed(9)).double()


def _module(name: str, **options: Any) -> Any:
    return make(name, affine=False, **options).features(3).double()


def _rms(values: Tensor) -> Tensor:
    return values / (values.square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()


def _gradient(function: Any, batch: Tensor) -> Tensor:
    leaf = batch.clone().requires_grad_()
    return torch.autograd.grad((function(leaf) * WEIGHTS).sum(), leaf)[0]


def test_batch_renorm_begins_as_batch_normalization() -> None:
    ours, batch = _module("batch_renorm", relax_from=3), _module("batch")
    for seed in range(3):
        torch.testing.assert_close(ours(inputs(seed=seed)), batch(inputs(seed=seed)))
    assert not torch.allclose(ours(inputs()), batch(inputs()), rtol=1e-4)


def test_batch_renorm_without_limits_trains_on_the_function_of_evaluation() -> None:
    module = _module("batch_renorm", r_max=1e9, d_max=1e9, relax_from=0, r_max_at=0, d_max_at=0)
    for seed in range(1, 4):
        module(inputs(seed=seed))
    evaluated = module.eval()(inputs())
    torch.testing.assert_close(module.train()(inputs()), evaluated)


@pytest.mark.parametrize(
    ("step", "r_limit", "d_limit"),
    [(0, 1.0, 0.0), (5000, 1.0, 0.0), (15_000, 1 + 4 / 7, 2.5), (25_000, 1 + 8 / 7, 5.0)],
)
def test_limits_of_batch_renorm(step: int, r_limit: float, d_limit: float) -> None:
    """Far from the averages, both limits bind: standardized values are times r, plus d."""
    module = _module("batch_renorm")
    module.steps.fill_(step)
    stop_tracking(module)
    outputs = module(inputs() * 100 + 1000)
    torch.testing.assert_close(outputs.mean((0, 2, 3)), torch.full((3,), d_limit).double())
    deviations = outputs.std((0, 2, 3), correction=0)
    torch.testing.assert_close(deviations, torch.full((3,), r_limit).double())


@pytest.mark.parametrize("name", ["moving_average_batch", "power_norm"])
def test_in_warmup_outputs_are_over_the_root_mean_square(name: str) -> None:
    module = _module(name, warmup=2)
    if name == "moving_average_batch":
        module = _module(name, window=2, warmup=2)
    for seed in range(2):
        torch.testing.assert_close(module(inputs(seed=seed)), _rms(inputs(seed=seed)))
    assert not torch.allclose(module(inputs(seed=5)), _rms(inputs(seed=5)), rtol=1e-4)


def test_in_warmup_the_backward_of_moving_averages_is_the_gradient() -> None:
    ours = _gradient(_module("moving_average_batch"), inputs())
    torch.testing.assert_close(ours, _gradient(_rms, inputs()))


def test_a_window_of_moving_averages_holds_the_newest_batches() -> None:
    module = _module("moving_average_batch", window=3, warmup=0)
    for seed in range(5):
        module(inputs(seed=seed))
    stop_tracking(module)
    squares = torch.stack([inputs(seed=seed).square().mean((0, 2, 3)) for seed in (2, 3, 4)])
    root = (squares.mean(0) + 1e-5).sqrt().view(1, -1, 1, 1)
    torch.testing.assert_close(module(inputs(seed=4)), inputs(seed=4) / root)


def test_backward_of_moving_averages_fills_its_window() -> None:
    module = _module("moving_average_batch", window=2)
    expected = torch.zeros(2, 3, dtype=torch.float64)
    for step in range(1, 4):
        _gradient(module, inputs(seed=step))
        expected[step % 2] = (WEIGHTS * _rms(inputs(seed=step))).mean((0, 2, 3))
    torch.testing.assert_close(module.gradients, expected)


def test_backward_of_power_moves_what_the_next_one_subtracts() -> None:
    module = _module("power_norm", backward_momentum=0.3)
    nu = torch.zeros(3, dtype=torch.float64)
    for seed in range(3):
        z = _rms(inputs(seed=seed))
        gradient = _gradient(module, inputs(seed=seed))
        scale = z / inputs(seed=seed)
        torch.testing.assert_close(gradient, (WEIGHTS - nu.view(1, -1, 1, 1) * z) * scale)
        nu += 0.3 * ((WEIGHTS * z).mean((0, 2, 3)) - nu * z.square().mean((0, 2, 3)))
    torch.testing.assert_close(module.running_gradient, nu)


@pytest.mark.parametrize("name", STEPPED)
def test_a_look_at_a_step_after_it_finds_its_outputs_and_gradient(name: str) -> None:
    module = block(name, {})
    channels = block(name, {}).layer.out_channels
    weights = torch.linspace(-1, 1, 5 * channels * 6).view(5, channels, 3, 2).double()
    for seed in range(3):
        (module(inputs(seed=seed)) * weights).sum().backward()
    module.zero_grad()
    trained = module(inputs())
    (trained * weights).sum().backward()
    stop_tracking(module)
    state = {key: value.clone() for key, value in module.state_dict().items()}

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return (functional_call(module, parameters, (inputs(),)) * weights).sum()

    parameters = dict(module.named_parameters())
    found = grad(loss)({key: value.detach() for key, value in parameters.items()})
    torch.testing.assert_close(module(inputs()), trained, rtol=0, atol=0)
    for key, parameter in parameters.items():
        torch.testing.assert_close(found[key], parameter.grad)
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
