"""Tracing where sizes are numbers, for networks that branch on the sizes of their maps.

torch.fx gives a size a placeholder, on which Python cannot branch. Here every node is computed on
the meta device as well, for batches of two different sizes. What is the same for both does not
depend on the batch: it is a number. Only sizes that do depend on it stay placeholders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.fx.proxy import TraceError

_BATCHES = (2, 3)
_VALUES = "values"


class SizedProxy(fx.Proxy):
    """A placeholder for a tensor, whose sizes are numbers where the batch has no part in them."""

    @property
    def shape(self) -> Any:
        """Sizes, as numbers or placeholders."""
        return self.size()

    @property
    def ndim(self) -> Any:
        """How many dimensions there are."""
        return self.dim()

    def dim(self) -> Any:
        """How many dimensions there are."""
        return self._values()[0].ndim

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or one."""
        if dim is not None:
            return self._size(dim)
        return tuple(self._size(each) for each in range(self.dim()))

    def __len__(self) -> int:
        return same(self.node, len)

    def __int__(self) -> int:
        return same(self.node, int)

    __index__ = __int__

    def _values(self) -> tuple[Any, ...]:
        return self.node.meta[_VALUES]

    def _size(self, dim: int) -> Any:
        first, second = (value.shape[dim] for value in self._values())
        if first == second:
            return first
        return self.tracer.create_proxy("call_method", "size", (self, dim), {})


def same(node: fx.Node, read: Callable[[Any], Any]) -> Any:
    """What is read of a node's value, for any batch.

    Raises:
        TraceError: if it depends on the batch, or on numbers that only the data give.
    """
    values = node.meta[_VALUES]
    if not any(isinstance(value, Tensor) for value in values) or read is len:
        first, second = map(read, values)
        if first == second:
            return first
    raise TraceError("it branches on values that only a batch can give")


class SizedTracer(fx.Tracer):
    """Traces with `SizedProxy`; mixed into a tracer that chooses the leaves."""

    image: Sequence[int] = ()
    _evaluating = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """A placeholder for a node, which is computed first."""
        self._values(node)
        return SizedProxy(node, self)

    def _values(self, node: fx.Node) -> tuple[Any, ...]:
        if _VALUES not in node.meta:
            node.meta[_VALUES] = tuple(self._computed(node, place) for place in range(2))
        return node.meta[_VALUES]

    def to_bool(self, obj: fx.Proxy) -> bool:
        """The truth of a value, if it is the same for any batch."""
        return same(obj.node, bool)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Trace a call; one within a computation is none of the graph's."""
        if self._evaluating:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        """Read an attribute of a module; see `call_module`."""
        if self._evaluating:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def _computed(self, node: fx.Node, place: int) -> Any:
        """A node's value for one of the two batches."""
        if node.op == "placeholder":
            own = node.args[0] if node.args else None
            first = node is next(iter(self.graph.nodes))
            return torch.empty(_BATCHES[place], *self.image, device="meta") if first else own
        if node.op == "get_attr":
            with self._computing():
                return attrgetter(str(node.target))(self.root).detach().to("meta")
        args: Any = map_arg(node.args, lambda n: self._values(n)[place])
        kwargs: Any = map_arg(node.kwargs, lambda n: self._values(n)[place])
        with self._computing():
            if node.op == "call_module":
                return self.root.get_submodule(str(node.target))(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            function: Any = node.target
            return function(*args, **kwargs)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        self._evaluating = True
        try:
            yield
        finally:
            self._evaluating = False
