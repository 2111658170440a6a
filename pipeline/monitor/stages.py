"""A network cut into stages, each of one tensor to one tensor: as its user says, or by torch.fx.

Stages are functions of tensors that read their parameters from the network's own modules.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from pipeline.architectures._torchvision.stages import segments

Stage = Callable[[Tensor], Tensor]
LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
"""Weight layers: convolutions of any dimension, and linear layers."""


class CannotSplit(ValueError):
    """The network cannot be cut into stages; the message says why in one line."""


def given_stages(root: nn.Module, stages: Sequence[str | Stage]) -> list[Stage]:
    """The stages that a user lists: modules, their dotted paths in the network, or functions.

    Raises:
        ValueError: if there is no module of some path.
    """
    known = dict(root.named_modules())
    for stage in stages:
        if isinstance(stage, str) and stage not in known:
            raise ValueError(f"stages: the network has no module {stage!r}")
    return [known[stage] if isinstance(stage, str) else stage for stage in stages]


def traced_stages(root: nn.Module, inputs: Tensor) -> list[Stage]:
    """Cut a network before weight layers behind which all data pass through a single tensor.

    A copy is traced: tracing runs the network's own code, which may keep what it sees.

    Raises:
        CannotSplit: if torch.fx cannot trace the network, or it takes several inputs.
    """
    try:
        graph = _Tracer().trace(copy.deepcopy(root))
        _Shapes(root, graph=graph).run(inputs)
    except Exception as error:  # of any kind: it is the user's own code that runs
        reason = " ".join(str(error).split())[:200]
        raise CannotSplit(f"torch.fx cannot trace the network ({reason})") from None
    placeholders = graph.find_nodes(op="placeholder")
    if len(placeholders) != 1:
        raise CannotSplit(f"the network's forward takes {len(placeholders)} arguments, not 1")
    modules = dict(root.named_modules())

    def holds_weights(node: fx.Node) -> bool:
        if node.op != "call_module":
            return False
        return any(isinstance(module, LAYERS) for module in modules[str(node.target)].modules())

    pieces: list[Stage] = []
    start = placeholders[0]
    for nodes in segments(graph, holds_weights):
        pieces.append(_Piece(root, graph, start, nodes))
        start = nodes[-1]
    return pieces


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = type(m).__module__.startswith("pipeline.") and not isinstance(m, nn.Sequential)
        return own or super().is_leaf_module(m, module_qualified_name)


class _Shapes(fx.Interpreter):
    """Notes at every node the shape of the tensor that it makes."""

    extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["shape"] = tuple(result.shape) if isinstance(result, Tensor) else ()
        return result


class _Piece(fx.Interpreter):
    """Consecutive nodes of a network's graph; parameters are the network's at the time of a call.

    Args:
        root: the network.
        graph: of it.
        start: the node whose value enters.
        nodes: what is computed; the last one's value leaves.
    """

    extra_traceback = False

    def __init__(
        self, root: nn.Module, graph: fx.Graph, start: fx.Node, nodes: Sequence[fx.Node]
    ) -> None:
        super().__init__(root, garbage_collect_values=False, graph=graph)
        self._start, self._nodes = start, nodes

    def __call__(self, values: Tensor) -> Tensor:
        self.env = {self._start: values}
        for node in self._nodes:
            self.env[node] = self.run_node(node)
        result = self.env[self._nodes[-1]]
        self.env = {}
        return result


def check_stages(root: nn.Module, stages: Sequence[Stage], inputs: Tensor) -> None:
    """Compare the stages, run one after another, with the whole network.

    Raises:
        CannotSplit: if they differ.
    """
    whole, values = root(inputs), inputs
    try:
        for stage in stages:
            values = stage(values)
    except Exception as error:  # of any kind: a stage is the user's own code
        reason = " ".join(str(error).split())[:200]
        raise CannotSplit(f"the stages do not run one after another ({reason})") from None
    same = isinstance(whole, Tensor) and values.shape == whole.shape
    if not same or not torch.allclose(values, whole, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise CannotSplit("the stages, run one after another, do not give the network's outputs")
