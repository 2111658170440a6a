"""How the parameters move: the optimizer, and the learning rate of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def optimizer(
    network: nn.Module, training: Mapping[str, Any], *, capturable: bool = False
) -> torch.optim.Optimizer:
    """The cell's optimizer over all parameters; weight decay applies to all of them alike.

    Args:
        network: whose parameters move.
        training: the cell's settings.
        capturable: for a step that is a CUDA graph. The learning rate is then a tensor on the
            network's device, and a GPU updates all parameters in one kernel, which reads it there.
    """
    common = {"lr": training["lr"], "weight_decay": training["weight_decay"]}
    if capturable:
        common |= _on_device(next(network.parameters()), training["lr"])
    if training["optimizer"] == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=training["momentum"], **common)
    family = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training["optimizer"]]
    if capturable and common["fused"]:
        common["capturable"] = True  # its count of steps is on the device too
    return family(network.parameters(), betas=tuple(training["betas"]), **common)


def _on_device(parameter: Tensor, lr: float) -> dict[str, Any]:
    """Options of a capturable optimizer. CUDA's fused kernels read a rate in float32; the CPU's
    operations use a number in float64, and get the very number from a float64 tensor."""
    fused = parameter.is_cuda
    dtype = torch.float32 if fused else torch.float64
    return {"lr": torch.tensor(lr, dtype=dtype, device=parameter.device), "fused": fused}


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set η of all parameters; a rate on the device is filled in place, without a wait."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def learning_rate(training: Mapping[str, Any], step: int) -> float:
    """η_t: a linear warm-up to lr over ``warmup_steps``, times the schedule's factor at step t.

    constant: 1. cosine: (1 + cos(π·t/T))/2. step: ``decay`` to the number of milestones passed,
    milestones being shares of T. The schedule's clock runs from step 0, through the warm-up too.
    """
    warmup, steps = training["warmup_steps"], training["steps"]
    factor = min(1.0, (step + 1) / warmup) if warmup else 1.0
    if training["schedule"] == "cosine":
        factor *= (1 + math.cos(math.pi * step / steps)) / 2
    elif training["schedule"] == "step":
        factor *= training["decay"] ** sum(step / steps >= m for m in training["milestones"])
    return training["lr"] * factor
