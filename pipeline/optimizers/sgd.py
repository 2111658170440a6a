"""Stochastic gradient descent."""

from __future__ import annotations

import torch

from pipeline.catalog.option_types import Decay
from pipeline.optimizers import Target, UpdateRule


def sgd(*, momentum: Decay = 0.0, nesterov: bool = False) -> UpdateRule:
    """Gradient descent on batches, with a velocity if there is momentum.

    With g the gradient on the batch, λ the weight decay, μ the momentum, v = 0 at the start,

        v ← μ·v + (g + λ·θ);   θ ← θ − η·v,   or with nesterov   θ ← θ − η·(g + λ·θ + μ·v)

    Weight decay is an L2 penalty: it goes through the velocity.

    Args:
        momentum: μ.
        nesterov: look ahead along the velocity; it needs a momentum above 0.

    Source: Polyak, 1964; Sutskever et al., ICML 2013, in the form of `torch.optim.SGD`.
    """

    def make(target: Target) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            target.groups,
            lr=target.lr,
            momentum=momentum,
            nesterov=nesterov,
            fused=target.fused,
        )

    return UpdateRule(make=make, capturable=True)
