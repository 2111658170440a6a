"""Lion: steps of one size, in the direction of a sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline.catalog.option_types import Betas
from pipeline.optimizers import Target, UpdateRule


def lion(*, betas: Betas = (0.9, 0.99)) -> UpdateRule:
    """Every parameter moves by η, in the direction of the sign of an interpolated momentum.

    With g the gradient on the batch, λ the weight decay, m = 0 at the start,

        c = β₁·m + (1 − β₁)·g;   θ ← θ − η·(sign(c) + λ·θ);   m ← β₂·m + (1 − β₂)·g

    The paper's learning rates are 3 to 10 times smaller than AdamW's, its λ larger by as much.

    Args:
        betas: β₁ and β₂.

    Source: Chen et al., NeurIPS 2023, algorithm 2.
    """

    def make(target: Target) -> torch.optim.Optimizer:
        return _Lion(target.groups, lr=target.lr, betas=betas)

    return UpdateRule(make=make, capturable=True)


class _Lion(torch.optim.Optimizer):
    """The update on tensors alone: a learning rate that is a tensor is never read by the host."""

    def __init__(
        self, groups: list[dict[str, Any]], *, lr: float | Tensor, betas: Sequence[float]
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": tuple(betas), "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move all parameters that have a gradient."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        first, second = group["betas"]
        step = state["momentum"].lerp(gradient, 1 - first).sign_()
        if group["weight_decay"]:
            step.add_(parameter, alpha=group["weight_decay"])
        parameter.sub_(step.mul_(group["lr"]))
        state["momentum"].lerp_(gradient, 1 - second)
