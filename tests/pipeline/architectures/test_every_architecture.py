"""What holds for every architecture; a new one fails here until it has an entry in `SMALL`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pipeline.architectures
from pipeline.architectures import Layer, Network
from pipeline.data import Task
from pipeline.normalizers import Normalizer, Traits
from pipeline.training.initialization import initialize

SMALL: dict[str, dict[str, Any]] = {
    "vgg11": {"width": 0.125},
    "vgg13": {"width": 0.125},
    "vgg16": {"width": 0.125},
    "vgg19": {"width": 0.125},
    "resnet": {"depth": 8},
    "resnet20": {"width": 0.25},
    "resnet32": {"width": 0.25},
    "resnet44": {"width": 0.25},
    "resnet56": {"width": 0.25},
    "resnet110": {"width": 0.25},
    "resnet18": {"width": 0.125},
    "resnet34": {"width": 0.125},
    "resnet50": {"width": 0.125},
    "densenet": {"depth": 16, "bottleneck": True, "compression": 0.5},
    "densenet40": {"width": 0.25},
    "densenet100": {"width": 0.25},
    "densenet_bc100": {"width": 0.25},
    "deep_linear": {},
}
VECTORS = {"deep_linear"}


def architectures() -> dict[str, Callable[..., Network]]:
    folder = pipeline.architectures.__path__
    names = [found.name for found in pkgutil.iter_modules(folder) if found.name[0] != "_"]
    modules = [importlib.import_module(f"pipeline.architectures.{name}") for name in names]
    return {
        name: function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and name[0] != "_"
    }


ALL = architectures()
del ALL["module"]  # a user's class under torchvision's rules: test_module.py
NORMS = {
    "none": Normalizer(),
    "batch2d": Normalizer(features=nn.BatchNorm2d, traits=Traits(bias_free=True)),
    "batch1d": Normalizer(features=nn.BatchNorm1d, traits=Traits(bias_free=True)),
}


def task_of(name: str, size: int = 8, channels: int = 1) -> Task:
    if name in VECTORS:
        return Task(loss="squared_error", input_shape=(10,), outputs=3)
    return Task(loss="cross_entropy", input_shape=(channels, size, size), outputs=7)


def build(name: str, normalized: bool, **shape: int) -> tuple[Network, Tensor]:
    kind = "none" if not normalized else "batch1d" if name in VECTORS else "batch2d"
    task = task_of(name, **shape)
    network = ALL[name](task, NORMS[kind], **SMALL[name])
    initialize(network, NORMS[kind], "he", 0)
    inputs = torch.randn(4, *task.input_shape, generator=torch.Generator().manual_seed(1))
    return network, inputs


def called(network: Network, inputs: Tensor, layers: list[Layer]) -> list[str]:
    """Names of the layers in the order of their first call."""
    names: list[str] = []
    handles = [
        layer.module.register_forward_pre_hook(lambda *_, name=layer.name: names.append(name))
        for layer in layers
    ]
    network(inputs)
    for handle in handles:
        handle.remove()
    return names


def test_each_architecture_is_tested():
    assert set(ALL) == set(SMALL)


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (8, 3), (32, 3), (28, 1)])
def test_output_shape(name: str, size: int, channels: int):
    network, inputs = build(name, True, size=size, channels=channels)
    assert network.eval()(inputs).shape == (4, task_of(name).outputs)


@pytest.mark.parametrize("name", sorted(ALL))
def test_stages_in_turn_are_the_network(name: str):
    network, inputs = build(name, True)
    network.eval()
    values = inputs
    for stage in network:
        values = stage(values)
        assert isinstance(values, Tensor)
    assert torch.equal(values, network(inputs))


@pytest.mark.parametrize("name", sorted(ALL))
def test_declared_order_is_the_order_of_calls(name: str):
    network, inputs = build(name, False)
    for layers in (network.weight_layers(), network.activation_layers()):
        assert called(network, inputs, layers) == [layer.name for layer in layers]


@pytest.mark.parametrize("name", sorted(ALL))
def test_layers_know_their_name_and_stage(name: str):
    network, _ = build(name, True)
    for layer in network.weight_layers() + network.activation_layers():
        assert network.get_submodule(layer.name) is layer.module
        assert any(layer.module is module for module in network[layer.stage].modules())


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("name", sorted(ALL))
def test_gradient_reaches_every_parameter(name: str, normalized: bool):
    network, inputs = build(name, normalized)
    network(inputs).square().sum().backward()
    still = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("name", sorted(set(ALL) - VECTORS))
def test_only_the_output_layer_keeps_weight_and_bias(name: str):
    seen: list[nn.Module] = []

    def weight(module: nn.Module) -> nn.Module:
        seen.append(module)
        return module

    norm = Normalizer(weight=weight, traits=Traits(bias_free=True))
    layers = ALL[name](task_of(name), norm, **SMALL[name]).weight_layers()
    assert {id(module) for module in seen} == {id(layer.module) for layer in layers[:-1]}
    assert all(layer.module.bias is None for layer in layers[:-1])
    assert layers[-1].module.bias is not None


@pytest.mark.parametrize("name", sorted(set(ALL) - VECTORS))
def test_normalizer_fields_are_used(name: str):
    class Marked(nn.Identity):
        pass

    norm = Normalizer(activation=lambda channels: Marked(), residual=Marked)
    network = ALL[name](task_of(name), norm, **SMALL[name])
    marks = sum(isinstance(module, Marked) for module in network.modules())
    blocks = sum("_block" in stage for stage, _ in network.named_children())
    assert marks == len(network.activation_layers()) + blocks


@pytest.mark.parametrize("name", sorted(set(ALL) - VECTORS))
def test_vectors_are_refused(name: str):
    with pytest.raises(ValueError, match=r"needs images, of shape .* have shape \(10,\)"):
        ALL[name](task_of("deep_linear"), Normalizer(), **SMALL[name])


@pytest.mark.parametrize("name", sorted(set(ALL) - VECTORS))
def test_too_small_maps_are_refused(name: str):
    norm = Normalizer(traits=Traits(minimum_spatial_size=3))
    with pytest.raises(ValueError, match=r"maps of 2x2 pixels, but the normalizer needs .* 3x3"):
        ALL[name](task_of(name), norm, **SMALL[name])
