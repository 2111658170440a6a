"""What is optimized and how well it does: the loss and the accuracy of a task."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from pipeline.data import Task


def objective(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """The training loss as a scalar: mean cross-entropy, or ‖f(x) − y‖² summed over the batch.

    Args:
        task: names the loss (see `pipeline.data.Task`).
        outputs: (N, K) logits or predictions.
        targets: (N,) class indices, or (N, K) values.
    """
    if task.loss == "cross_entropy":
        return functional.cross_entropy(outputs, targets)
    return functional.mse_loss(outputs, targets, reduction="sum")


def correct(task: Task, outputs: Tensor, targets: Tensor) -> Tensor | None:
    """Number of samples classified right, as a scalar on the device; None for a regression."""
    if task.loss != "cross_entropy":
        return None
    return (outputs.argmax(dim=1) == targets).sum()
