"""The training step as one CUDA graph: one launch by the host instead of hundreds.

A graph replays the same kernels on the same addresses. So batches are copied into buffers that stay
where they are, the learning rate is a tensor on the device, the losses go into a buffer there, and
no part of the step may depend on what the host does between two steps (``Traits.host_state``).

The kernels are those of `EagerStep`, on the same values: the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pipeline.data import Batch
from pipeline.training.step import EagerStep

_WARM_UP = 3
"""Steps before the capture, in which libraries choose their kernels and states are made."""

Body = Callable[[], None]
"""A step on fixed buffers: no arguments, no result, no wait for the device."""


class GraphStep:
    """A step that is captured at its first batch, and replayed for this and all later batches.

    Args:
        eager: the step to capture; its batches must all have one shape.
        warm_up: runs a body several times, before its effects are undone.
        capture: makes of a body what runs it again. Those of a GPU by default.
    """

    def __init__(
        self,
        eager: EagerStep,
        *,
        warm_up: Callable[[Body], None] | None = None,
        capture: Callable[[Body], Body] | None = None,
    ) -> None:
        self._eager, self.buffer = eager, eager.buffer
        self._warm_up, self._capture = warm_up or on_side_stream, capture or captured
        self._batch: Batch | None = None
        self._loss = eager.buffer.losses.new_zeros(())
        self._run: Body | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Take the step; gives the detached loss, which the next step overwrites."""
        if self._batch is None or self._run is None:
            self._batch = Batch(batch.inputs.clone(), batch.targets.clone())
            self._run = self._prepared()
        self._batch.inputs.copy_(batch.inputs)
        self._batch.targets.copy_(batch.targets)
        self._run()
        return self._loss

    def _body(self) -> None:
        assert self._batch is not None
        self._loss.copy_(self._eager(self._batch))

    def _prepared(self) -> Body:
        with undone(self._eager):
            self._warm_up(self._body)
        return self._capture(self._body)


@contextmanager
def undone(step: EagerStep) -> Iterator[None]:
    """Context manager that takes back what steps within it change.

    Parameters, buffers, losses and an optimizer's state return to their values, in place; a state
    that did not exist before becomes 0, which is how optimizers begin; gradients are released, so
    that a graph's backward makes its own; the default generators return to where they were.
    """
    network, optimizer = step.network, step.optimizer
    tensors = [*network.parameters(), *network.buffers(), *step.buffer.tensors]
    saved = {t: t.detach().clone() for t in (*tensors, *_state(optimizer))}
    devices = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    with torch.random.fork_rng(range(devices)):
        yield
    with torch.no_grad():
        for tensor, values in saved.items():
            tensor.copy_(values)
        for tensor in _state(optimizer):
            if tensor not in saved:
                tensor.zero_()
    optimizer.zero_grad(set_to_none=True)


def _state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    states = optimizer.state.values()
    return [x for state in states for x in state.values() if isinstance(x, Tensor)]


def on_side_stream(body: Body) -> None:
    """Run a body on a stream of its own, as a capture must find it done."""
    main, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(main)
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            body()
    main.wait_stream(side)


def captured(body: Body) -> Body:
    """Record a body as a CUDA graph; gives what replays it.

    All draws of a network's training are functions of keys, none of a generator's state. The
    default generator of the device is registered with each graph by torch itself.

    Raises:
        RuntimeError: if something in the body cannot be captured, such as a wait for the device.
    """
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            body()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise RuntimeError(
            f"resources.cuda_graph: this cell's step cannot be captured ({error}); "
            "run it with --set resources.cuda_graph=false"
        ) from error
    return graph.replay
