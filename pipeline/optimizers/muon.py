"""Muon: orthogonalized momentum for matrices, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.catalog.option_types import AtLeastOne, Betas, Decay, Positive
from pipeline.optimizers import Target, UpdateRule


def muon(
    *,
    momentum: Decay = 0.95,
    nesterov: bool = True,
    iterations: AtLeastOne = 5,
    adjust: Literal["match_rms_adamw", "original", "spectral_unclamped"] = "match_rms_adamw",
    adamw_scale: Positive = 1.0,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
) -> UpdateRule:
    """Matrices move by the orthogonal matrix nearest to their momentum; all else moves by AdamW.

    For the weight W (A × B) of a convolution or linear layer, a kernel being the matrix of its
    output channels and all else, with gradient G, weight decay λ, M = 0 at the start,

        M ← μ·M + (1 − μ)·G;   N = (1 − μ)·G + μ·M if nesterov, else M
        W ← (1 − η·λ)·W − η·a·NS(N)

    NS: Newton-Schulz iterations, in bfloat16, which bring all singular values near 1. The factor a:
    0.2·√max(A, B) (match_rms_adamw: entries move about as far as in AdamW, so that one η suits
    both), √max(1, A/B) (original) or √(A/B) (spectral_unclamped). Vectors, tables, and weights
    whose matrix has a single row or column move by `adamw`, with the rate adamw_scale·η. The output
    layer is a matrix like the others; so is a depthwise kernel.

    It is not capturable: torch's implementation reads the learning rate on the host.

    Args:
        momentum: μ.
        nesterov: look ahead along the momentum.
        iterations: of Newton-Schulz.
        adjust: which factor a.
        adamw_scale: learning rate of AdamW, in that of the matrices.
        betas: β₁ and β₂ of AdamW.
        eps: ε of AdamW.

    Source: Jordan et al., 2024 (kellerjordan.github.io/posts/muon), as `torch.optim.Muon`;
    match_rms_adamw: Liu et al., arXiv 2502.16982, 2025.
    """

    def make(target: Target) -> torch.optim.Optimizer:
        own = {
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": iterations,
            "adjust_lr_fn": adjust,
        }
        rest = {"betas": (betas[0], betas[1]), "eps": eps}
        return _Muon(target, own, rest, adamw_scale)

    return UpdateRule(make=make)


class _Muon(torch.optim.Optimizer):
    """Both optimizers as one: all parameters in its groups, and the states of both in its state.

    torch's Muon takes matrices alone. It is given a view of each weight, which shares its memory.
    """

    def __init__(
        self, target: Target, own: dict[str, Any], rest: dict[str, Any], scale: float
    ) -> None:
        groups = list(_split(target, scale))
        super().__init__(groups, {"lr": target.lr, "weight_decay": 0.0})
        self._inner: list[torch.optim.Optimizer] = []
        matrices = [_matrices(group) for group in self.param_groups if group["matrices"]]
        others = [{**group} for group in self.param_groups if not group["matrices"]]
        if matrices:
            self._inner.append(torch.optim.Muon(matrices, lr=float(target.lr), **own))
        if others:
            self._inner.append(torch.optim.AdamW(others, lr=target.lr, **rest))

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move all parameters that have a gradient."""
        del closure
        inner_groups = (group for inner in self._inner for group in inner.param_groups)
        for group, inner in zip(self.param_groups, inner_groups, strict=True):
            inner["lr"] = group["lr"]
            for parameter, moved in zip(group["params"], inner["params"], strict=True):
                if moved is not parameter and parameter.grad is not None:
                    moved.grad = _columns_of(parameter, parameter.grad).reshape(moved.shape)
        for inner in self._inner:
            inner.step()

    def state_dict(self) -> dict[str, Any]:
        """Its groups, and the states of both."""
        return {**super().state_dict(), "inner": [inner.state_dict() for inner in self._inner]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "inner"})
        for inner, state in zip(self._inner, state_dict["inner"], strict=True):
            inner.load_state_dict(state)


def _split(target: Target, scale: float) -> Iterator[dict[str, Any]]:
    """The groups of matrices, then those of all else."""
    for matrices in (True, False):
        own = {"matrices": matrices, "lr_scale": 1.0 if matrices else scale}
        for group in target.groups:
            chosen = [p for p in group["params"] if (p in target.matrices) == matrices]
            if chosen:
                yield {**group, **own, "params": chosen}


def _matrices(group: dict[str, Any]) -> dict[str, Any]:
    views = [nn.Parameter(_columns_of(p, p.detach()).view(p.shape[0], -1)) for p in group["params"]]
    return {**group, "params": views}


def _columns_of(parameter: Tensor, values: Tensor) -> Tensor:
    """Values with the axes in the parameter's order in memory, so that a view can join columns."""
    return values if parameter.is_contiguous() else values.permute(0, 2, 3, 1)
