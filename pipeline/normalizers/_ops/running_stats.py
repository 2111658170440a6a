"""Running averages: what training moves and evaluation uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningAverages(nn.Module):
    """Buffers r ← (1 − momentum)·r + momentum·value, standing still without tracking."""

    exact_batches: int | None = None
    """Batches in the exact average that is being taken; None: these are running averages."""

    def __init__(self, momentum: float, **starts: Tensor) -> None:
        super().__init__()
        self.momentum = momentum
        self.track_running_stats = True
        for name, start in starts.items():
            self.register_buffer(name, start)

    def average(self, **values: Tensor) -> None:
        """Move the named averages towards the newest values."""
        if self.exact_batches is not None:
            self._average_exactly(values, self.exact_batches + 1)
        elif self.track_running_stats:
            for name, value in values.items():
                self.get_buffer(name).lerp_(value.detach(), self.momentum)

    def _average_exactly(self, values: dict[str, Tensor], count: int) -> None:
        """Take in the ``count``-th batch; the first replaces whatever the buffers held."""
        self.exact_batches = count
        for name, value in values.items():
            buffer = self.get_buffer(name)
            if count == 1:
                buffer.zero_()
            buffer.lerp_(value.detach(), 1 / count)


class SteppedAverages(RunningAverages):
    """Running averages of the steps before, that the training forward itself depends on.

    Beside each average named ``running_x`` stands ``used_x``, its value before the newest batch,
    which the forward of that batch uses; ``steps`` counts the training steps, that one included.
    So whoever looks at a step after it, tracking off, finds the very function that was trained.
    An exact average is taken of a forward that depends on the batch alone, as in a warm-up.
    """

    steps: Tensor

    def __init__(self, momentum: float, **starts: Tensor) -> None:
        super().__init__(
            momentum,
            **{f"running_{name}": start for name, start in starts.items()},
            **{f"used_{name}": start.clone() for name, start in starts.items()},
        )
        self.averaged = tuple(starts)
        # A float, as optimizers have it: schedules divide by it, on its device.
        self.register_buffer("steps", starts[self.averaged[0]].new_zeros(()))

    def begin(self) -> None:
        """Begin a training step, before anything is averaged."""
        if self.track_running_stats:
            self.steps += 1
            for name in self.averaged:
                self.get_buffer(f"used_{name}").copy_(self.get_buffer(f"running_{name}"))

    def past(self, step: int) -> Tensor:
        """Whether this step comes after ``step``; before any training it is the first."""
        if self.exact_batches is not None:
            return torch.zeros_like(self.steps, dtype=torch.bool)
        return self.steps.clamp(min=1) > step
