"""What a loop that is not ours tells of its steps: learning rates, losses, a divergence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

DIVERGENCE = 100.0
"""A run is diverged once its loss exceeds this multiple of the first, as in a sweep by default."""
_LOOK_EVERY = 50
"""Steps between two looks at the losses: a look waits for the device."""


@dataclass
class Taken:
    """What optimizers did within a step."""

    optimizers: list[str] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    """Learning rates of their parameter groups that hold the network's parameters."""
    packages: set[str] = field(default_factory=set)
    """The packages that their classes are of."""
    strangers: list[str] = field(default_factory=list)
    """Optimizers that stepped, none of whose parameters is the network's."""

    @property
    def strangeness(self) -> str:
        """That other optimizers stepped than the network's; empty if its own did, or none."""
        if self.optimizers or not self.strangers:
            return ""
        names = " and ".join(dict.fromkeys(self.strangers))
        return f"the optimizer that stepped within it ({names}) has no parameter of the network"

    @property
    def without_rate(self) -> str:
        """Why no learning rate is known, and what would be right."""
        if self.strangeness:
            right = "make it of network.parameters(), or give Monitor the network that it trains"
            return f"{self.strangeness}; {right}"
        return (
            "no optimizer of torch stepped within it, so the learning rate is not known; put "
            "optimizer.step() within it, or give labels={'lr': ...}"
        )


@contextmanager
def optimizers_watched(parameters: Iterable[nn.Parameter]) -> Iterator[Taken]:
    """Context manager that notes which of torch's optimizers step within it, at which rates.

    A step that began before counts too: trainers give optimizers a closure, and the context begins
    in it.
    """
    wanted, taken = set(parameters), Taken()
    begun: set[Optimizer] = set()

    def begin(optimizer: Optimizer, *others: Any) -> None:
        begun.add(optimizer)
        note(optimizer, *others)

    def end(optimizer: Optimizer, *others: Any) -> None:
        if optimizer not in begun:
            note(optimizer, *others)
        begun.discard(optimizer)

    def note(optimizer: Optimizer, *_: Any) -> None:
        rates = [
            float(group["lr"])
            for group in optimizer.param_groups
            if "lr" in group and not wanted.isdisjoint(group["params"])
        ]
        groups = optimizer.param_groups
        if all(wanted.isdisjoint(group["params"]) for group in groups):
            taken.strangers.append(type(optimizer).__name__)
        if rates:
            taken.optimizers.append(type(optimizer).__name__)
            taken.packages.add(type(optimizer).__module__.partition(".")[0])
            taken.rates += rates

    handles = register_optimizer_step_pre_hook(begin), register_optimizer_step_post_hook(end)
    try:
        yield taken
    finally:
        for handle in handles:
            handle.remove()


class Curve:
    """The losses and learning rates of all steps, and where the run diverged."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.diverged_step: int | None = None
        self._pending: list[Tensor] = []

    def append(self, rate: float, loss: Tensor | float) -> None:
        """Add a step; the loss stays on its device for a while."""
        self.rates.append(rate)
        self._pending.append(torch.as_tensor(loss).detach().clone().reshape(()))
        if len(self._pending) == _LOOK_EVERY:
            self.look()

    def look(self) -> None:
        """Bring pending losses to the host, and find the first that is out of bounds."""
        if not self._pending:
            return
        first = len(self.losses)
        self.losses += torch.stack(self._pending).double().tolist()
        self._pending.clear()
        if self.diverged_step is None:
            limit = DIVERGENCE * abs(self.losses[0])
            late = enumerate(self.losses[first:], first)
            self.diverged_step = next(
                (step for step, loss in late if not (math.isfinite(loss) and loss <= limit)), None
            )

    def columns(self) -> dict[str, list[Any]]:
        """A row per step, up to a divergence."""
        self.look()
        done = len(self.losses) if self.diverged_step is None else self.diverged_step + 1
        return {
            "step": list(range(done)),
            "lr": self.rates[:done],
            "train_loss": self.losses[:done],
            "train_accuracy": [None] * done,
        }
