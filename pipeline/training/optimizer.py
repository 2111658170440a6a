"""How the parameters move: the optimizer, and the learning rate of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def optimizer(network: nn.Module, training: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The cell's optimizer over all parameters; weight decay applies to all of them alike."""
    common = {"lr": training["lr"], "weight_decay": training["weight_decay"]}
    if training["optimizer"] == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=training["momentum"], **common)
    family = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training["optimizer"]]
    return family(network.parameters(), betas=tuple(training["betas"]), **common)


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
