"""What a torchvision classifier is made of under a normalizer; the rules: `_torchvision`."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from operator import attrgetter

import torch
from torch import Tensor, fx, nn

from pipeline.architectures import Activation, Table
from pipeline.architectures._images import Size, require_maps
from pipeline.architectures._torchvision.graph import (
    MAPS,
    NORMS,
    WEIGHTS,
    constants,
    insert_after,
    rectifiers,
    shape,
)
from pipeline.architectures._torchvision.modules import (
    ChannelsLast,
    Constant,
    SelfAttention,
    WindowAttention,
)
from pipeline.architectures._torchvision.stages import Part, branches
from pipeline.normalizers import Normalizer, relu

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU, nn.Tanh)
_TOKENS = (nn.Linear, nn.LayerNorm, nn.RMSNorm, SelfAttention, WindowAttention)
_DRAWN = ("pos_embedding", "relative_position_bias_table")
"""Tables that torchvision draws before they are parameters."""
_STD = 0.02
"""Standard deviation of the tables that a network draws: torchvision's own."""
_ROLES = {
    "Conv2d": "conv",
    "SelfAttention": "attention",
    "WindowAttention": "attention",
    "MaxPool2d": "pool",
    "AvgPool2d": "pool",
    "AdaptiveAvgPool2d": "pool",
    "Sigmoid": "gate",
    "Hardsigmoid": "gate",
}

Modules = dict[fx.Node, nn.Module]
"""Modules by the node that calls them."""
Parts = dict[fx.Node, Part]


def replaced(name: str, graph: fx.Graph, model: nn.Module, norm: Normalizer) -> Parts:
    """Choose the module of every node that calls one; nodes are added where there was none.

    Raises:
        ValueError: if the model has no normalization, or a normalized map is too small for the
            normalizer.
    """
    parts = _constants(graph, model)
    modules = _modules(graph, model, parts)
    norms = _norms(graph, modules)
    if not norms:
        raise ValueError(f"{name}: has no normalization layer, so there is nothing to replace")
    sizes = [_size(shape(node), _channels_last(node, modules)) for node in norms]
    require_maps(name, norm, min(sizes, key=min))
    for node, layer in _weights(graph, modules)[:-1]:
        _reparametrize(layer, norm, normalized=_meets(node, norms))
    for node, module in modules.items():
        if node in norms:
            parts[node] = Part("norm", _on_channels(node, modules, norm.features))
        elif isinstance(module, _ACTIVATIONS):
            parts[node] = Part("activation", _activation(node, module, modules, norm))
        else:
            role = _ROLES.get(kind := type(module).__name__.removeprefix("Parametrized"))
            parts[node] = Part(role or kind.lower(), module)
    for branch in branches(graph, parts):
        end = insert_after(branch.end, only=branch.addition)
        parts[end] = Part("residual", norm.residual())
    return parts


def _constants(graph: fx.Graph, model: nn.Module) -> Parts:
    """Learned tables and fixed tensors outside all layers, as modules of their own."""
    found: Parts = {}
    for node in constants(graph):
        value: Tensor = attrgetter(str(node.target))(model)
        role = str(node.target).rpartition(".")[2]
        learned = isinstance(value, nn.Parameter)
        drawn = role in _DRAWN or getattr(value, "is_drawn", False)
        module = Table(value, std=_STD if drawn else None) if learned else Constant(value)
        found[node] = Part(role, module)
    return found


def _modules(graph: fx.Graph, model: nn.Module, others: Parts) -> Modules:
    """The model's own modules, by the nodes that call them; none works in place."""
    found: Modules = {node: nn.ReLU() for node in rectifiers(graph)}
    for node in graph.find_nodes(op="call_module"):
        if node not in found and node not in others:
            found[node] = model.get_submodule(str(node.target))
    for module in found.values():
        if hasattr(module, "inplace"):
            vars(module)["inplace"] = False
    return found


def _norms(graph: fx.Graph, modules: Modules) -> set[fx.Node]:
    """Where normalizers go: in place of the model's own, or else behind every convolution."""
    own = {node for node, module in modules.items() if isinstance(module, NORMS)}
    if own:
        return own
    behind = {}
    for node, layer in _weights(graph, modules)[:-1]:
        if isinstance(layer, nn.Conv2d):
            behind[insert_after(node)] = nn.BatchNorm2d(layer.out_channels, device="meta")
    modules.update(behind)
    return set(behind)


def _weights(graph: fx.Graph, modules: Modules) -> list[tuple[fx.Node, nn.Module]]:
    """Weight layers and modules that hold some, in forward order; the last is the output layer."""
    found = [(node, modules[node]) for node in graph.nodes if node in modules]
    return [(node, module) for node, module in found if isinstance(module, WEIGHTS)]


def _meets(node: fx.Node, norms: Collection[fx.Node]) -> bool:
    """Whether a normalizer is all that a node's output enters, moved dimensions aside."""
    (user, *others) = node.users
    if others:
        return False
    moved = user.target is torch.permute or user.target == "permute"
    return user in norms or (moved and _meets(user, norms))


def _reparametrize(module: nn.Module, norm: Normalizer, *, normalized: bool) -> None:
    """Let the normalizer act on the weight, or weights, and settle the biases."""
    bare = norm.traits.bias_free
    for layer in list(module.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if bare and normalized:
                layer.register_parameter("bias", None)
            elif not bare and layer.bias is None:
                layer.bias = nn.Parameter(layer.weight.detach().new_zeros(len(layer.weight)))
            norm.weight(layer)


def _activation(node: fx.Node, own: nn.Module, modules: Modules, norm: Normalizer) -> nn.Module:
    """The model's own activation, unless the normalizer replaces ReLU."""
    made = norm.activation

    def activation(channels: int) -> nn.Module:
        return Activation(own if made is relu else made(channels))

    return _on_channels(node, modules, activation)


def _on_channels(node: fx.Node, modules: Modules, make: Callable[[int], nn.Module]) -> nn.Module:
    """Make a module for the channels of what a node returns, wherever they stand."""
    sizes = shape(node)
    last = len(sizes) > 2 and _channels_last(node, modules)
    module = make(sizes[-1 if last else 1])
    return ChannelsLast(module) if last else module


def _channels_last(node: fx.Node, modules: Modules) -> bool:
    """Whether channels stand last: as the layer has it that the node is, or comes from."""
    while not isinstance(modules.get(node), MAPS + _TOKENS):
        node = node.all_input_nodes[0]
    return not isinstance(modules[node], MAPS)


def _size(sizes: tuple[int, ...], channels_last: bool) -> Size:
    """Height and width of what is normalized; tokens count as a square, vectors as a pixel."""
    pixels = sizes[1:-1] if channels_last and len(sizes) > 2 else sizes[2:]
    if len(pixels) == 2:
        return pixels[0], pixels[1]
    side = math.isqrt(math.prod(pixels))
    return side, side
