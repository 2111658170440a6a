"""What is optimized and how well it does: the loss and the accuracy of a task."""

from __future__ import annotations

import torch
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


def chance_loss(task: Task, targets: Tensor, batch_size: int | None) -> float:
    """The training loss of the best constant prediction: what a network that ignores x can reach.

    Cross-entropy: the entropy of the classes, −Σ_k p_k·log p_k in nats, with p_k the share of
    class k among ``targets``; ln K where all K classes are equally frequent. Squared error, summed
    over a batch of B samples: B·mean_i ‖y_i − ȳ‖².

    Args:
        task: names the loss.
        targets: (N,) class indices, or (N, K) values, of the whole training split.
        batch_size: B; None for the whole split.
    """
    targets = targets.cpu()  # once per cell; counting on a GPU is not deterministic
    if task.loss == "cross_entropy":
        counts = torch.bincount(targets.flatten().long()).double()
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * shares.log()).sum()) + 0.0
    values = targets.double()
    per_sample = (values - values.mean(dim=0)).square().sum() / len(values)
    return float(per_sample) * (batch_size or len(values))
