"""Optimizers: one file an optimizer, whose public function is it (its name is the YAML name).

An optimizer is an `UpdateRule`: it makes one of torch's optimizers, and declares what the loop must
know of it. The function's arguments are its own options. Every optimizer is also told the learning
rate, the weight decay, ``clip`` and ``decay_norms`` of the training: the loop applies these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Target:
    """What an optimizer is to move, and how fast."""

    groups: list[dict[str, Any]]
    """All parameters, as torch's optimizers take them: ``params`` and ``weight_decay`` of each
    group. A group may be given ``lr_scale``, a factor on the learning rate."""
    matrices: frozenset[nn.Parameter]
    """The weights of convolutions and linear layers that are matrices, a kernel being the matrix
    (output channels, all else). Of a reparametrized weight, its parts that are such."""
    lr: float | Tensor
    """η of the first step; the loop sets it anew before every step. A tensor on the parameters'
    device if the steps may be a CUDA graph."""
    fused: bool | None = None
    """For torch's option of that name: one kernel for all parameters; None: torch's choice."""


@dataclass(frozen=True, kw_only=True)
class UpdateRule:
    """How an optimizer moves parameters."""

    make: Callable[[Target], torch.optim.Optimizer]
    """All that the optimizer keeps is in its ``state_dict``, so that a checkpoint has it."""
    changes_gradients: bool = False
    """Its ``step`` writes into each parameter's ``grad``. The loop then hands it copies: probes see
    the gradients themselves."""
    capturable: bool = False
    """A step can be replayed as a CUDA graph: it reads nothing on the host, it takes ``Target.lr``
    as a tensor, and the tensors of its state begin at 0. If it cannot, the loop takes eager steps,
    and the result records why."""
    averages: bool = False
    """Evaluations use other weights than training. Such an optimizer has ``eval()``, which puts
    them into the parameters, and ``train()``; the loop itself restores the training's weights.
    Probes see the training's weights, at which the gradients are taken."""
