"""A graph cut into the stages of a network, with readable names.

A stage ends where a single tensor carries everything that later stages need: no edge of the graph
passes by it. Such places are found by reading the graph, not known beforehand.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import fx, nn

from pipeline.architectures._torchvision.graph import WEIGHTS, path, shape


class Part(NamedTuple):
    """A module of the network in the making."""

    role: str
    """What it is called: conv, norm, activation, ..."""
    module: nn.Module


class Branch(NamedTuple):
    """A residual branch: what one operand of an addition is made of, and the other is not."""

    addition: fx.Node
    end: fx.Node
    nodes: frozenset[fx.Node]


def branches(graph: fx.Graph, parts: Mapping[fx.Node, Part]) -> list[Branch]:
    """Residual branches in forward order: of two tensors of a shape, that with more weights."""
    order = list(graph.nodes)
    above: dict[fx.Node, int] = {}  # bit i: node i is this node, or data flow from it to this one
    weights = 0
    for place, node in enumerate(order):
        above[node] = 1 << place
        weights |= _holds_weights(node, parts) << place
        for source in node.all_input_nodes:
            above[node] |= above[source]
    found = []
    for node in order:
        ends = [end for end in node.args if isinstance(end, fx.Node)]
        if node.target not in (operator.add, torch.add) or len(ends) != 2:
            continue
        if shape(ends[0]) != shape(ends[1]) or not all(above[end] & 1 for end in ends):
            continue
        own = [above[ends[0]] & ~above[ends[1]], above[ends[1]] & ~above[ends[0]]]
        counts = [(bits & weights).bit_count() for bits in own]
        if counts[0] != counts[1]:
            side = int(counts[1] > counts[0])
            nodes = frozenset(n for i, n in enumerate(order) if own[side] >> i & 1)
            found.append(Branch(node, ends[side], nodes))
    return found


def segments(graph: fx.Graph, holds_weights: Callable[[fx.Node], bool]) -> list[list[fx.Node]]:
    """Cut the graph, so that every weight layer behind a possible cut begins a stage.

    Of several places between two weight layers the one is taken where torchvision's own modules
    part highest up, and the last one of these.

    Args:
        graph: of one input, its nodes with shapes.
        holds_weights: whether a node calls a weight layer, or a module that holds one.
    """
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    places = {node: place for place, node in enumerate(nodes)}
    start = next(iter(graph.nodes))
    reach, cuts = max(places[user] for user in start.users), []
    for place, node in enumerate(nodes[:-1]):
        if place >= reach and shape(node):
            cuts.append(place)
        reach = max([reach, *(places.get(user, place) for user in node.users)])
    weights = [place for place, node in enumerate(nodes) if holds_weights(node)]
    bounds = [0]
    for here, following in pairwise(weights):
        between = [cut for cut in cuts if here <= cut < following]
        if between:
            bounds.append(1 + min(between, key=lambda c: (_shared(nodes[c], nodes[c + 1]), -c)))
    return [nodes[a:b] for a, b in zip(bounds, [*bounds[1:], len(nodes)], strict=True)]


def _holds_weights(node: fx.Node, parts: Mapping[fx.Node, Part]) -> bool:
    return node in parts and isinstance(parts[node].module, WEIGHTS)


def _shared(first: fx.Node, second: fx.Node) -> int:
    """How many of torchvision's modules, from the top, two nodes lie in together."""
    pair = zip(path(first), path(second), strict=False)
    return next((depth for depth, (a, b) in enumerate(pair) if a != b), 100)


def stages(graph: fx.Graph, parts: Mapping[fx.Node, Part]) -> list[tuple[str, nn.Module]]:
    """Name the stages and make them, each of one tensor to one tensor."""
    cut = segments(graph, lambda node: _holds_weights(node, parts))
    owners = _owners(cut, parts)
    inside = {n: branch for branch in branches(graph, parts) for n in branch.nodes}
    value = next(iter(graph.nodes))
    made = []
    for nodes in cut:
        first = next(node for node in nodes if _holds_weights(node, parts))
        own = path(first)
        depth = next((d for d in range(1, len(own) + 1) if owners[tuple(own[:d])] == 1), None)
        if depth is None:
            raise ValueError(
                f"the layer {'.'.join(own)} is called in several places; give each call its own"
            )
        made.append(("_".join(own[:depth]), _stage(value, nodes, parts, inside)))
        value = nodes[-1]
    return made


def _owners(cut: Sequence[Sequence[fx.Node]], parts: Mapping[fx.Node, Part]) -> dict[Any, int]:
    """How many stages have weight layers below each of torchvision's modules."""
    count: dict[tuple[str, ...], int] = {}
    for nodes in cut:
        paths = [path(node) for node in nodes if _holds_weights(node, parts)]
        for prefix in {tuple(own[:d]) for own in paths for d in range(1, len(own) + 1)}:
            count[prefix] = count.get(prefix, 0) + 1
    return count


def _stage(
    start: fx.Node,
    nodes: Sequence[fx.Node],
    parts: Mapping[fx.Node, Part],
    inside: Mapping[fx.Node, Branch],
) -> fx.GraphModule:
    """A module that computes the last node from the start."""
    graph, root = fx.Graph(), nn.Module()
    copies = {start: graph.placeholder("inputs")}
    names = _names(nodes, parts, inside)
    for node in nodes:
        copies[node] = graph.node_copy(node, lambda n: copies[n])
        if node in names:
            copies[node].target = names[node]
            _put(root, names[node], parts[node].module)
    graph.output(copies[nodes[-1]])
    return fx.GraphModule(root, graph, "Stage")


def _names(
    nodes: Sequence[fx.Node], parts: Mapping[fx.Node, Part], inside: Mapping[fx.Node, Branch]
) -> dict[fx.Node, str]:
    """Modules by their role: ``branch.conv2``; numbered from 1 where there are several."""
    own = [node for node in nodes if node in parts]
    additions = list(dict.fromkeys(inside[n].addition for n in own if n in inside))
    places: dict[str, list[fx.Node]] = {}
    for node in own:
        prefix = ""
        if node in inside:
            number = additions.index(inside[node].addition) + 1
            prefix = f"branch{number if len(additions) > 1 else ''}."
        places.setdefault(prefix + parts[node].role, []).append(node)
    return {
        node: f"{place}{number if len(same) > 1 else ''}"
        for place, same in places.items()
        for number, node in enumerate(same, 1)
    }


def _put(root: nn.Module, name: str, module: nn.Module) -> None:
    *containers, last = name.split(".")
    for container in containers:
        if not hasattr(root, container):
            root.add_module(container, nn.Module())
        root = cast(nn.Module, getattr(root, container))
    root.add_module(last, module)
