"""One update θ_t → θ_{t+1}: forward, loss, backward, optimizer. Its loss stays on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.architectures import Network
from pipeline.data import Batch
from pipeline.data._objective import correct, objective
from pipeline.training.optimizer import Handing, handed
from pipeline.training.precision import step_precision


class LossBuffer:
    """Losses and hits of the newest steps, on the device: the host reads them at its looks.

    Args:
        size: steps between two looks, at most.
        like: a parameter of the network: losses have its type and device.
    """

    def __init__(self, size: int, like: Tensor) -> None:
        self.losses = like.new_zeros(size, dtype=like.dtype)
        self.hits = like.new_zeros(size, dtype=torch.int64)
        self.place = like.new_zeros(1, dtype=torch.int64)
        """Where the next step writes; on the device, since a graph replays no host code."""

    @property
    def tensors(self) -> list[Tensor]:
        """All that a step changes here."""
        return [self.losses, self.hits, self.place]

    def write(self, loss: Tensor, hits: Tensor | None) -> None:
        """Append a step's loss and its number of samples classified right, if it has one."""
        self.losses.index_copy_(0, self.place, loss[None])
        if hits is not None:
            self.hits.index_copy_(0, self.place, hits[None])
        self.place.add_(1)

    def newest(self, count: int) -> tuple[Tensor, Tensor]:
        """Losses and hits (count) of the steps since the last call, which are then forgotten."""
        self.place.zero_()
        return self.losses[:count], self.hits[:count]


class EagerStep:
    """The step as a function of its batch, one operation of the device after another.

    Args:
        network: whose parameters move.
        optimizer: over them.
        precision: of forward and backward.
        size: steps between two looks at the losses, at most.
        handing: how the optimizer is given the gradients; as they are by default.
    """

    def __init__(
        self,
        network: Network,
        optimizer: torch.optim.Optimizer,
        precision: str,
        size: int,
        handing: Handing | None = None,
    ) -> None:
        self.network, self.optimizer, self.precision = network, optimizer, precision
        self._handing, self._parameters = handing or Handing(), list(network.parameters())
        self.buffer = LossBuffer(size, next(network.parameters()))

    def __call__(self, batch: Batch) -> Tensor:
        """Take the step; gives the detached loss L(θ_t) on the batch."""
        with step_precision(self.precision, self.network):
            outputs = self.network(batch.inputs)
            loss = objective(self.network.task, outputs, batch.targets)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        with handed(self._parameters, self._handing):
            self.optimizer.step()
        hits = correct(self.network.task, outputs.detach(), batch.targets)
        self.buffer.write(loss.detach(), hits)
        return loss.detach()
