"""How torch's Adam and AdamW are made, which differ in weight decay alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipeline.optimizers import Target, UpdateRule


def adam_rule(kind: type[torch.optim.Adam], betas: Sequence[float], eps: float) -> UpdateRule:
    """The rule of one of torch's two optimizers."""

    def make(target: Target) -> torch.optim.Optimizer:
        return kind(
            target.groups,
            lr=target.lr,
            betas=(betas[0], betas[1]),
            eps=eps,
            fused=target.fused,
            capturable=bool(target.fused),  # its count of steps is then on the device too
        )

    return UpdateRule(make=make, capturable=True)
