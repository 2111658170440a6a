"""The graph of a torchvision classifier: traced, with shapes, and free of what is not a function.

Nodes call modules by torchvision's own paths, which also say where a node belongs.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError
from torch.nn import functional
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import StochasticDepth

from pipeline.architectures._torchvision.modules import SelfAttention, WindowAttention
from pipeline.architectures._torchvision.sized import SizedTracer

WEIGHTS = (nn.Conv2d, nn.Linear, SelfAttention, WindowAttention)
"""What may begin a stage: weight layers, and modules that hold some."""
_ON_MAPS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)
NORMS = (*_ON_MAPS, nn.LayerNorm, nn.RMSNorm)
"""Normalizations: those of channels in dimension 1, and those of channels that stand last."""
MAPS = (nn.Conv2d, *_ON_MAPS, LayerNorm2d)
"""Modules whose channels stand in dimension 1."""
_LEAVES = (*WEIGHTS, LayerNorm2d, StochasticDepth)
_IDLE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, StochasticDepth, nn.Identity)
_IDLE_FUNCTIONS = (functional.dropout, functional.dropout1d, functional.dropout2d)
_FUNCTIONS = ("batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm")
_WEIGHING = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "bilinear")
_IN_PLACE = {operator.iadd: operator.add, operator.imul: operator.mul}


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LEAVES) or super().is_leaf_module(m, module_qualified_name)


class _Sized(SizedTracer, _Tracer):
    pass


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


def traced(make: Callable[[], nn.Module], image: Sequence[int]) -> fx.Graph:
    """The graph of a network on the meta device, shapes of a batch of 2 images noted at its nodes.

    Dropout and stochastic depth are left out, in-place arithmetic is made out-of-place, and
    concatenations of a growing list are made successive: [x, y, z] = [[x, y], z].

    Raises:
        AssertionError, RuntimeError, ValueError: if the images do not pass through the network.
        TraceError: if torch.fx cannot trace it.
        Unsupported: if it normalizes or weighs by a function, or by a layer of another kind.
    """
    module = _trace(make, image)
    _Shapes(module).run(torch.empty(2, *image, device="meta"))
    graph = module.graph
    for node in list(graph.nodes):
        called = module.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(called, _IDLE) or node.target in _IDLE_FUNCTIONS:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif called is not None:
            _refuse_layer(node, called)
        elif node.target is torch._assert:
            graph.erase_node(node)
        elif node.op == "call_function":
            _refuse_function(node, module)
            node.target = _IN_PLACE.get(node.target, node.target)
        elif node.op == "get_attr":
            _settle_read(node, module)
    _nest_concatenations(graph)
    graph.eliminate_dead_code()
    return graph


def _trace(make: Callable[[], nn.Module], image: Sequence[int]) -> fx.GraphModule:
    """The network as a graph: sizes are placeholders if they can be, and else numbers.

    Raises:
        TraceError: if neither works.
    """
    model = make()
    try:
        return fx.GraphModule(model, _Tracer().trace(model, _defaults(model)))
    except (TraceError, TypeError, RuntimeError):  # what a placeholder in place of a number raises
        model, tracer = make(), _Sized()
        tracer.image = image
        return fx.GraphModule(model, tracer.trace(model, _defaults(model)))


def _defaults(model: nn.Module) -> dict[str, Any]:
    """Arguments of a network that are not its images: they keep their defaults."""
    _, *others = inspect.signature(model.forward).parameters.values()
    return {each.name: each.default for each in others if each.default is not each.empty}


class Unsupported(ValueError):
    """A network normalizes or weighs by something that nothing can replace."""


def _refuse_function(node: fx.Node, model: nn.Module) -> None:
    name = getattr(node.target, "__name__", "")
    weighs = name in _WEIGHING and _is_learned(node, model)
    if name in _FUNCTIONS or weighs:
        where = ".".join(path(node)[:-1]) or "forward"
        raise Unsupported(f"{where} calls the function {name}; call a module of torch.nn")


def _is_learned(node: fx.Node, model: nn.Module) -> bool:
    """Whether the weight of a function comes from a parameter: a filter that is fixed may stay."""
    weight = node.kwargs.get("weight", node.args[1] if len(node.args) > 1 else None)
    nodes = [weight] if isinstance(weight, fx.Node) else []
    for each in nodes:
        value = attrgetter(str(each.target))(model) if each.op == "get_attr" else None
        if isinstance(value, nn.Parameter):
            return True
        nodes += [source for source in each.all_input_nodes if source not in nodes]
    return False


def _settle_read(node: fx.Node, model: nn.Module) -> None:
    """Let a network ask its images, not a layer, for a device or a type; refuse other reads.

    A parameter of a layer that is read elsewhere would be two: the layer's, and a table.
    """
    layer, _, name = str(node.target).rpartition(".")
    if name.startswith("_tensor_constant"):
        raise Unsupported("forward makes a tensor without the images; keep it as a buffer")
    if not isinstance(model.get_submodule(layer), (*WEIGHTS, *NORMS)):
        return
    if not all(user.target is getattr for user in node.users):
        raise Unsupported(f"{'.'.join(path(node)[:-1])} reads the {name} of the layer {layer}")
    node.replace_all_uses_with(next(iter(node.graph.nodes)))
    node.graph.erase_node(node)


def _refuse_layer(node: fx.Node, module: nn.Module) -> None:
    """Refuse weights that no probe would see, and that no initialization would draw."""
    if not isinstance(module, (*WEIGHTS, *NORMS)) and any(p.ndim > 1 for p in module.parameters()):
        kind = type(module).__name__
        raise Unsupported(
            f"{'.'.join(path(node))} is of the class {kind}; only the weights of Conv2d and Linear "
            "can be measured"
        )


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
