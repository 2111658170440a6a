"""How the parameters move: the optimizer, and the learning rate of a step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.architectures import Table
from pipeline.catalog import registry as catalog
from pipeline.optimizers import Target, UpdateRule
from pipeline.spec import optimizer_of

_WEIGHT_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def update_rule(training: Mapping[str, Any]) -> UpdateRule:
    """The optimizer of a cell's training, and what it declares.

    Raises:
        TypeError: if the part is none.
    """
    config = optimizer_of(training)
    rule = catalog.make("optimizers", config)
    if not isinstance(rule, UpdateRule):
        kind = type(rule).__name__
        raise TypeError(f"optimizer {config['name']}: it returns a {kind}, not an UpdateRule")
    return rule


def optimizer(
    network: nn.Module, training: Mapping[str, Any], *, capturable: bool = False
) -> torch.optim.Optimizer:
    """The cell's optimizer over all parameters.

    Weight decay applies to all of them alike or, without ``decay_norms``, to the weights of
    convolutions and linear layers and to tables: not to normalizers and biases.

    Args:
        network: whose parameters move.
        training: the cell's settings.
        capturable: for a step that may be a CUDA graph, if the optimizer's can. The learning rate
            is then a tensor on the network's device, and a GPU updates all parameters in one
            kernel, which reads it there.
    """
    rule, options = update_rule(training), optimizer_of(training)
    lr, fused = training["lr"], None
    if capturable and rule.capturable:
        lr, fused = _on_device(next(network.parameters()), lr)
    groups = _groups(network, training["weight_decay"], options["decay_norms"])
    return rule.make(Target(groups, _matrices(network), lr, fused))


def _groups(network: nn.Module, decay: float, decay_norms: bool) -> list[dict[str, Any]]:
    parameters = list(network.parameters())
    if decay_norms:
        return [{"params": parameters, "weight_decay": decay}]
    tables = {m.value for m in network.modules() if isinstance(m, Table)}
    decayed = _layer_weights(network) | tables
    groups = [
        {"params": [p for p in parameters if p in decayed], "weight_decay": decay},
        {"params": [p for p in parameters if p not in decayed], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _layer_weights(network: nn.Module) -> set[nn.Parameter]:
    """Weights of convolutions and linear layers, or the parts that reparametrize them."""
    found: set[nn.Parameter] = set()
    for layer in (m for m in network.modules() if isinstance(m, _WEIGHT_LAYERS)):
        named = layer.named_parameters()
        found |= {p for n, p in named if n == "weight" or n.startswith("parametrizations.weight.")}
    return found


def _matrices(network: nn.Module) -> frozenset[nn.Parameter]:
    weights = _layer_weights(network)
    return frozenset(p for p in weights if p.ndim > 1 and p.shape[0] > 1 and p[0].numel() > 1)


def _on_device(parameter: Tensor, lr: float) -> tuple[Tensor, bool]:
    """A capturable optimizer's rate, and whether it is fused. CUDA's fused kernels read a rate in
    float32; the CPU's operations use a number in float64, and get the very number from a float64
    tensor."""
    fused = parameter.is_cuda
    dtype = torch.float32 if fused else torch.float64
    return torch.tensor(lr, dtype=dtype, device=parameter.device), fused


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set η of all parameters; a rate on the device is filled in place, without a wait.

    A group's ``lr_scale`` is a factor on it.
    """
    for group in optimizer.param_groups:
        own = lr * group.get("lr_scale", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(own)
        else:
            group["lr"] = own


@dataclass(frozen=True)
class Handing:
    """How gradients are handed to the optimizer."""

    clip: float | None = None
    """The largest norm of the gradient in all parameters; None: any."""
    copied: bool = False
    """As copies, into which the optimizer may write (`UpdateRule.changes_gradients`)."""


def handing(training: Mapping[str, Any], rule: UpdateRule) -> Handing:
    """How a cell's gradients are handed to its optimizer."""
    return Handing(optimizer_of(training)["clip"], rule.changes_gradients)


@contextmanager
def handed(parameters: Sequence[nn.Parameter], how: Handing) -> Iterator[None]:
    """Context manager within which the gradients are those that the optimizer is to read.

    Afterwards they are what they were: probes see the gradient itself.
    """
    if how == Handing():
        yield
        return
    own = [(p, p.grad) for p in parameters if p.grad is not None]
    for parameter, gradient in own:
        parameter.grad = gradient.clone()
    if how.clip is not None:
        nn.utils.clip_grad_norm_([parameter for parameter, _ in own], how.clip)
    try:
        yield
    finally:
        for parameter, gradient in own:
            parameter.grad = gradient


@contextmanager
def evaluation_weights(optimizer: Any, averages: bool) -> Iterator[None]:
    """Context manager within which the parameters are those of evaluations.

    Args:
        optimizer: the cell's.
        averages: whether they are others than training's (`UpdateRule.averages`).
    """
    if not averages:
        yield
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    before = [p.detach().clone() for p in parameters]
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()
        with torch.no_grad():  # the way back in arithmetic would round
            for parameter, values in zip(parameters, before, strict=True):
                parameter.copy_(values)


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
