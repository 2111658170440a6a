"""Every trait of every normalizer says what its modules do."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize

from pipeline.catalog.registry import parts
from tests.helpers.parts.normalizer_blocks import (
    block,
    inputs,
    make,
    set_noise_key,
    stop_tracking,
    variants,
)
from tests.pipeline.normalizers.references import REFERENCES

each = pytest.mark.parametrize(("name", "options"), variants())
Options = dict[str, Any]


@each
def test_batch_dependent(name: str, options: Options) -> None:
    moved = any(_depends_on_batch(block(name, options, fresh=fresh)) for fresh in (False, True))
    assert moved == make(name, **options).traits.batch_dependent


@each
def test_nothing_depends_on_the_batch_in_evaluation(name: str, options: Options) -> None:
    module = block(name, options)
    module(inputs(seed=3))
    module.eval()
    torch.testing.assert_close(module(inputs())[:1], module(inputs()[:1]))


@each
def test_scale_invariant_weights(name: str, options: Options) -> None:
    tiny = {"eps": 1e-14} if "eps" in parts("normalizers")[name].options else {}
    module = block(name, options | tiny)
    stop_tracking(module)
    with torch.no_grad():
        if module.layer.bias is not None:
            module.layer.bias.zero_()
        before = module(inputs())
        for parameter in _weights(module.layer):
            parameter.mul_(3)
        after = module(inputs())
    invariant = torch.allclose(before, after, rtol=0, atol=1e-8)
    assert invariant == make(name, **options).traits.scale_invariant_weights


@each
def test_true_gradient(name: str, options: Options) -> None:
    module = block(name, options)
    stop_tracking(module)
    point = {"inputs": inputs(), **{k: v.detach() for k, v in module.named_parameters()}}
    generator = torch.Generator().manual_seed(5)
    ahead = {k: torch.randn(v.shape, generator=generator).double() for k, v in point.items()}

    def loss(step: Tensor | float) -> Tensor:
        at = {key: value + step * ahead[key] for key, value in point.items()}
        return functional_call(module, at, (at.pop("inputs"),)).sin().sum()

    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(step), step)
    difference = (loss(1e-6) - loss(-1e-6)) / 2e-6
    true = torch.allclose(slope, difference.detach(), rtol=1e-5, atol=1e-6)
    assert true == make(name, **options).traits.true_gradient


@each
def test_running_stats(name: str, options: Options) -> None:
    module = block(name, options)
    start = deepcopy(module.state_dict())
    module(inputs())
    moved = any(not torch.equal(start[key], value) for key, value in module.state_dict().items())
    tracks = any(getattr(child, "track_running_stats", False) for child in module.modules())
    assert moved == tracks == make(name, **options).traits.running_stats
    trained, evaluated = module(inputs()), module.eval()(inputs())
    # Some evaluate with what the last step left, some train with what the step before left.
    again = module.train()(inputs())
    alike = torch.equal(trained, evaluated) and torch.equal(evaluated, again)
    traits = make(name, **options).traits
    assert alike != (traits.running_stats or traits.noise)


@each
def test_no_buffer_moves_when_not_tracked(name: str, options: Options) -> None:
    module = block(name, options)
    tracked = module(inputs())
    start = deepcopy(module.state_dict())
    stop_tracking(module)
    torch.testing.assert_close(module(inputs()), tracked, rtol=0, atol=0)
    assert all(torch.equal(start[key], value) for key, value in module.state_dict().items())


@each
def test_noise(name: str, options: Options) -> None:
    module = block(name, options)
    stop_tracking(module)
    global_state = torch.get_rng_state()
    first, again = module(inputs()), module(inputs())
    set_noise_key(module, 8)
    other = module(inputs())
    assert torch.equal(global_state, torch.get_rng_state())
    assert torch.equal(first, again)
    noisy = make(name, **options).traits.noise
    assert torch.equal(first, other) != noisy
    assert any(hasattr(child, "noise_key") for child in module.modules()) == noisy
    module.eval()
    evaluated = module(inputs())
    set_noise_key(module, 9)
    assert torch.equal(evaluated, module(inputs()))


@each
def test_bias_free(name: str, options: Options) -> None:
    """A constant per channel before the normalizer changes nothing, or the normalizer adds one."""
    norm = block(name, options).norm
    channels = REFERENCES[name].channels
    features = torch.randn(5, channels, 3, 2, generator=torch.Generator().manual_seed(2)).double()
    constant = torch.linspace(-1, 1, channels).double().view(1, -1, 1, 1)
    removed = torch.allclose(norm(features), norm(features + constant))
    assert (removed or _adds(norm, constant)) == make(name, **options).traits.bias_free


@each
def test_minimum_spatial_size(name: str, options: Options) -> None:
    norm = block(name, options).norm
    channels = REFERENCES[name].channels
    least = make(name, **options).traits.minimum_spatial_size
    generator = torch.Generator().manual_seed(2)
    maps = torch.randn(5, channels, least, least, generator=generator, dtype=torch.float64)
    # On maps that are too small it is 0; a bounded function with drawn scalars saturates.
    assert norm(maps).std(dim=0).mean() > 0.05
    if least > 1:
        for small in (maps[:, :, :1, :1], maps[:, :, 0, 0]):
            with pytest.raises(ValueError, match="maps"):
                norm(small)


def _depends_on_batch(module: nn.Module) -> bool:
    stop_tracking(module)
    batch = inputs()
    other = torch.cat([batch[:1], inputs(seed=1)[1:]])
    return not torch.allclose(module(batch)[0], module(other)[0], rtol=0, atol=1e-12)


def _weights(layer: nn.Module) -> list[nn.Parameter]:
    if parametrize.is_parametrized(layer, "weight"):
        return list(layer.get_submodule("parametrizations.weight").parameters())
    return [layer.get_parameter("weight")]


def _adds(norm: nn.Module, constant: Tensor) -> bool:
    """Whether some parameter of the module is a shift of its output, through noise or not."""
    features = torch.randn(5, constant.numel(), 3, 2, generator=torch.Generator().manual_seed(3))
    norm = deepcopy(norm).eval()
    before = norm(features.double())

    def shift(name: str) -> Tensor:
        moved = {name: norm.get_parameter(name) + constant.flatten()}
        return functional_call(norm, moved, (features.double(),)) - before

    names = [
        name for name, value in norm.named_parameters() if value.shape == constant.flatten().shape
    ]
    return any(torch.allclose(shift(name), constant.expand_as(before)) for name in names)
