"""Schedule-free optimizers: an average of the iterates in place of a schedule of the rate."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any, Literal

import torch

from pipeline.catalog.option_types import Decay, Fraction, Positive
from pipeline.optimizers import Target, UpdateRule
from pipeline.package_version import MissingPackage


def schedule_free(
    *,
    base: Literal["sgd", "adamw"] = "sgd",
    beta: Fraction = 0.9,
    second: Decay = 0.999,
    eps: Positive = 1e-8,
) -> UpdateRule:
    """Gradients are taken between the iterate z and its average x; evaluations take x.

    With z = x = θ_0 at the start, d the direction of the base (g + λ·y of sgd, or g over the root
    of Adam's second moment, plus λ·y), at step t

        y = (1 − β)·z + β·x;   g = ∇L(y);   z ← z − η·d;   x ← (1 − c)·x + c·z

    where c = η²/Σ η² for a rate that does not fall, so 1/(t + 1) for a constant one. Training and
    probes are at y, where the gradient is; evaluations are at x, and normalize by exact means over
    training batches, since running averages are those of y. Give a constant schedule, with or
    without a warm-up.

    It needs the package schedulefree. It is not capturable: its averaging weights are numbers on
    the host.

    Args:
        base: the optimizer whose steps z takes.
        beta: β.
        second: decay rate of the second moment of adamw.
        eps: ε of adamw.

    Raises:
        MissingPackage: if the package is not installed.

    Source: Defazio et al., NeurIPS 2024 ("The Road Less Scheduled"), as their package
    schedulefree, 1.4.
    """
    if find_spec("schedulefree") is None:
        raise MissingPackage(
            "optimizer schedule_free needs the package schedulefree; pip install schedulefree"
        )
    package: Any = importlib.import_module("schedulefree")

    def make(target: Target) -> torch.optim.Optimizer:
        if base == "sgd":
            return package.SGDScheduleFree(target.groups, lr=target.lr, momentum=beta)
        return package.AdamWScheduleFree(target.groups, lr=target.lr, betas=(beta, second), eps=eps)

    return UpdateRule(make=make, changes_gradients=True, averages=True)
