"""Rules of normalizers, each on a weight layer and the normalizer behind it, in float64."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize

from pipeline.catalog import registry as catalog
from pipeline.cli import kind_of
from pipeline.normalizers import Normalizer, relu
from pipeline.probes._vectors import as_leaves
from pipeline.probes._view import preserve_state, set_noise

_CHANNELS = 32
"""Of the block: what most group counts divide."""
_TINY = 1e-14
"""ε where the scale of the weights must not matter."""


def make(config: dict[str, Any]) -> Normalizer:
    """The normalizer.

    Raises:
        TypeError: if the part returns something else.
    """
    return catalog.make("normalizers", config)


def block(norm: Normalizer, *, maps: bool = True) -> Any:
    """``layer`` and ``norm``, then residual and activation if they are the normalizer's own."""
    bias = not norm.traits.bias_free
    layer: nn.Module = nn.Linear(5, _CHANNELS, bias)
    if maps:
        layer = nn.Conv2d(3, _CHANNELS, 3, padding=1, bias=bias)
    modules = OrderedDict(layer=norm.weight(layer), norm=norm.features(_CHANNELS))
    if not isinstance(residual := norm.residual(), nn.Identity):
        modules["residual"] = residual
    if norm.activation is not relu:
        modules["activation"] = norm.activation(_CHANNELS)
    for name, module in modules.items():
        if not isinstance(module, nn.Module):
            part = {"layer": "weight", "norm": "features"}.get(name, name)
            raise TypeError(f"its {part} returns {kind_of(module)}, not a torch.nn.Module")
    made = nn.Sequential(modules).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(drawn)
    set_noise(made, 0, 0)
    return made


def inputs(*, maps: bool = True, seed: int = 0) -> Tensor:
    """Six samples."""
    shape = (6, 3, 5, 4) if maps else (6, 5)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _shapes(config: dict[str, Any]) -> str:
    norm = make(config)
    for maps in (True, False) if norm.traits.minimum_spatial_size == 1 else (True,):
        outputs = block(norm, maps=maps)(inputs(maps=maps))
        expected = (6, _CHANNELS, 5, 4) if maps else (6, _CHANNELS)
        if tuple(outputs.shape) != expected:
            return f"features {expected} become {tuple(outputs.shape)}"
        if not outputs.isfinite().all():
            return f"some of its outputs on features {expected} are not finite"
    return ""


def _loss(module: nn.Module) -> Callable[[dict[str, Tensor]], Tensor]:
    """A loss of parameters by name, and of ``inputs``, running statistics standing still."""

    def loss(at: dict[str, Tensor]) -> Tensor:
        own = {key: value for key, value in at.items() if key != "inputs"}
        return functional_call(module, own, (at["inputs"],)).sin().sum()

    return loss


def _point(module: nn.Module) -> dict[str, Tensor]:
    own = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return {"inputs": inputs(), **own}


def _gradients(config: dict[str, Any]) -> str:
    module = block(make(config))
    at = as_leaves(_point(module))
    with preserve_state(module):
        gradients = torch.autograd.grad(
            _loss(module)(at), list(at.values()), materialize_grads=True
        )
    for name, gradient in zip(at, gradients, strict=True):
        if not gradient.isfinite().all():
            return f"the gradient with respect to {name} is not finite"
        if not gradient.any() and not name.endswith("layer.bias"):  # which a mean may remove
            return f"the gradient with respect to {name} is 0: it trains nothing"
    return ""


def _direction(at: dict[str, Tensor]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {k: torch.randn(v.shape, generator=generator).double() for k, v in at.items()}


def _second_derivatives(config: dict[str, Any]) -> str:
    """vᵀHv by autograd, against the difference of the slope along v."""
    norm = make(config)
    if not norm.traits.true_gradient:
        return ""
    module = block(norm)
    start = _point(module)
    ahead = _direction(start)
    loss = _loss(module)

    def slope(step: Tensor) -> Tensor:
        value = loss({key: start[key] + step * ahead[key] for key in start})
        return torch.autograd.grad(value, step, create_graph=True)[0]

    with preserve_state(module):
        at = torch.zeros((), dtype=torch.float64, requires_grad=True)
        (curvature,) = torch.autograd.grad(slope(at), at)
        ends = [slope(torch.tensor(e, dtype=torch.float64, requires_grad=True)) for e in (_E, -_E)]
    difference = (ends[0] - ends[1]).detach() / (2 * _E)
    if torch.allclose(curvature, difference, rtol=1e-4, atol=1e-4):
        return ""
    return f"autograd gives {curvature:.6g} along a direction, differences {difference:.6g}"


_E = 1e-5


def _true_gradient(config: dict[str, Any]) -> str:
    norm = make(config)
    module = block(norm)
    start = _point(module)
    ahead, loss = _direction(start), _loss(module)
    with preserve_state(module):
        step = torch.zeros((), dtype=torch.float64, requires_grad=True)
        moved = {key: start[key] + step * ahead[key] for key in start}
        (slope,) = torch.autograd.grad(loss(moved), step)
        ends = [loss({k: start[k] + e * ahead[k] for k in start}) for e in (1e-6, -1e-6)]
    difference = ((ends[0] - ends[1]) / 2e-6).detach()
    true = torch.allclose(slope, difference, rtol=1e-4, atol=1e-5)
    return _trait("true_gradient", norm.traits.true_gradient, true)


def _trait(name: str, declared: bool, found: bool) -> str:
    if declared == found:
        return ""
    return f"traits.{name} is {declared}, but its modules behave as {found}"


def _batch_dependent(config: dict[str, Any]) -> str:
    norm = make(config)
    module = block(norm)
    other = torch.cat([inputs()[:1], inputs(seed=1)[1:]])
    with torch.no_grad(), preserve_state(module):
        same = torch.allclose(module(inputs())[0], module(other)[0], rtol=0, atol=1e-12)
    return _trait("batch_dependent", norm.traits.batch_dependent, not same)


def _running_stats(config: dict[str, Any]) -> str:
    norm = make(config)
    module = block(norm)
    start = deepcopy(module.state_dict())
    module(inputs())
    moved = any(not torch.equal(start[key], value) for key, value in module.state_dict().items())
    return _trait("running_stats", norm.traits.running_stats, moved)


def _standing(config: dict[str, Any]) -> str:
    module = block(make(config))
    start = deepcopy(module.state_dict())
    with preserve_state(module):
        module(inputs())
    for key, value in module.state_dict().items():
        if not torch.equal(start[key], value):
            return f"{key} moves though track_running_stats is False"
    return ""


def _noise(config: dict[str, Any]) -> str:
    norm = make(config)
    module = block(norm)
    before = torch.get_rng_state()
    with torch.no_grad(), preserve_state(module):
        state = torch.get_rng_state()
        first, again = module(inputs()), module(inputs())
        drawn = not torch.equal(state, torch.get_rng_state())
        set_noise(module, 0, 1)
        other = module(inputs())
    torch.set_rng_state(before)
    if drawn or not torch.equal(first, again):
        return "it draws from a global generator; draw by noise_key (normalizers/_ops)"
    return _trait("noise", norm.traits.noise, not torch.equal(first, other))


def _scale_invariant(config: dict[str, Any]) -> str:
    options = catalog.parts("normalizers")[config["name"]].options
    norm = make(config | ({"eps": _TINY} if "eps" in options else {}))
    module = block(norm)
    with torch.no_grad(), preserve_state(module):
        if module.layer.bias is not None:
            module.layer.bias.zero_()
        before = module(inputs())
        for parameter in _weights(module.layer):
            parameter.mul_(3)
        after = module(inputs())
    same = torch.allclose(before, after, rtol=0, atol=1e-8 if "eps" in options else 1e-4)
    return _trait("scale_invariant_weights", norm.traits.scale_invariant_weights, same)


def _weights(layer: nn.Module) -> list[nn.Parameter]:
    if parametrize.is_parametrized(layer, "weight"):
        return list(layer.get_submodule("parametrizations.weight").parameters())
    return [layer.get_parameter("weight")]


RULES = {
    "features keep their shape, (N, C) and (N, C, H, W), and are finite": _shapes,
    "every parameter has a gradient": _gradients,
    "second derivatives are those of its gradient": _second_derivatives,
    "running statistics stand still when they are told to": _standing,
    "trait true_gradient is true": _true_gradient,
    "trait batch_dependent is true": _batch_dependent,
    "trait running_stats is true": _running_stats,
    "trait noise is true": _noise,
    "trait scale_invariant_weights is true": _scale_invariant,
}
