"""The graph of a torchvision classifier: traced, with shapes, and free of what is not a function.

Nodes call modules by torchvision's own paths, which also say where a node belongs.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import StochasticDepth

from pipeline.architectures._torchvision.modules import SelfAttention, WindowAttention

WEIGHTS = (nn.Conv2d, nn.Linear, SelfAttention, WindowAttention)
"""What may begin a stage: weight layers, and modules that hold some."""
_ON_MAPS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)
NORMS = (*_ON_MAPS, nn.LayerNorm, nn.RMSNorm)
"""Normalizations: those of channels in dimension 1, and those of channels that stand last."""
MAPS = (nn.Conv2d, *_ON_MAPS, LayerNorm2d)
"""Modules whose channels stand in dimension 1."""
_LEAVES = (SelfAttention, WindowAttention, LayerNorm2d, StochasticDepth)
_IDLE = (nn.Dropout, StochasticDepth, nn.Identity)
_FUNCTIONS = ("batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm")
_IN_PLACE = {operator.iadd: operator.add, operator.imul: operator.mul}


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LEAVES) or super().is_leaf_module(m, module_qualified_name)


class _Shapes(fx.Interpreter):
    """Notes at every node the shape of the tensor that it makes."""

    extra_traceback = False

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        keeps = isinstance(self.fetch_attr(str(target)), NORMS)  # and costs time to compute
        return args[0] if keeps else super().call_module(target, args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["shape"] = tuple(result.shape) if isinstance(result, Tensor) else ()
        return result


def traced(model: nn.Module, image: Sequence[int]) -> fx.Graph:
    """The graph of a network on the meta device, shapes of a batch of 2 images noted at its nodes.

    Dropout and stochastic depth are left out, in-place arithmetic is made out-of-place, and
    concatenations of a growing list are made successive: [x, y, z] = [[x, y], z].

    Raises:
        AssertionError, RuntimeError, ValueError: if the images do not pass through the network.
        FixedNormalization: if it normalizes by a function.
    """
    module = fx.GraphModule(model, _Tracer().trace(model))
    _Shapes(module).run(torch.empty(2, *image, device="meta"))
    graph = module.graph
    for node in list(graph.nodes):
        if node.op == "call_module" and isinstance(module.get_submodule(node.target), _IDLE):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.target is torch._assert:
            graph.erase_node(node)
        elif node.op == "call_function":
            _refuse_function(node)
            node.target = _IN_PLACE.get(node.target, node.target)
    _nest_concatenations(graph)
    graph.eliminate_dead_code()
    return graph


class FixedNormalization(ValueError):
    """A network normalizes by a function, which nothing can replace."""


def _refuse_function(node: fx.Node) -> None:
    name = getattr(node.target, "__name__", "")
    if name in _FUNCTIONS:
        where = ".".join(path(node)[:-1]) or "forward"
        raise FixedNormalization(f"{where} calls the function {name}; call a module of torch.nn")


def _nest_concatenations(graph: fx.Graph) -> None:
    """Let a concatenation begin with an earlier one of the same tensors and dimension."""
    known: dict[tuple[Any, ...], fx.Node] = {}
    for node in graph.find_nodes(op="call_function", target=torch.cat):
        parts, dim = list(node.args[0]), (*node.args[1:], *node.kwargs.values())
        known[(*parts, dim)] = node
        for count in range(len(parts) - 1, 1, -1):
            earlier = known.get((*parts[:count], dim))
            if earlier is not None:
                node.update_arg(0, [earlier, *parts[count:]])
                break


def shape(node: fx.Node) -> tuple[int, ...]:
    """Shape of the tensor that a node makes; empty if it makes none."""
    return node.meta.get("shape", ())


def path(node: fx.Node) -> list[str]:
    """Where in torchvision's tree of modules a node belongs."""
    if node.op == "call_module":
        return str(node.target).split(".")
    scopes = [scope for scope in node.meta.get("nn_module_stack", {}) if scope]
    return [*(scopes[-1].split(".") if scopes else []), node.name]


def insert_after(node: fx.Node, *, only: fx.Node | None = None) -> fx.Node:
    """Put a call of a new module behind a node, before all its users or only one of them."""
    users = list(node.users) if only is None else [only]
    with node.graph.inserting_after(node):
        new = node.graph.create_node("call_module", ".".join(path(node)), (node,))
    new.meta = dict(node.meta)
    for user in users:
        user.replace_input_with(node, new)
    return new


def rectifiers(graph: fx.Graph) -> list[fx.Node]:
    """Make module calls of all calls of the function ``relu``."""
    found = []
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in (functional.relu, torch.relu):
            new = insert_after(node)
            new.args = (node.args[0],)
            graph.erase_node(node)
            found.append(new)
    return found


def constants(graph: fx.Graph) -> list[fx.Node]:
    """Make module calls, right before their first use, of all reads of parameters and buffers."""
    found = []
    for node in graph.find_nodes(op="get_attr"):
        first = next(user for user in graph.nodes if user in node.users)
        with graph.inserting_before(first):
            new = graph.create_node("call_module", str(node.target))
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        graph.erase_node(node)
        found.append(new)
    return found
