"""Adam, with weight decay as an L2 penalty."""

from __future__ import annotations

import torch

from pipeline.catalog.option_types import Betas, Positive
from pipeline.optimizers import UpdateRule
from pipeline.optimizers._adam import adam_rule


def adam(*, betas: Betas = (0.9, 0.999), eps: Positive = 1e-8) -> UpdateRule:
    """Adam: each step divided by the root of a running mean of squared gradients.

    With g the gradient on the batch, m = v = 0 at the start, at step t = 1, 2, …

        m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²
        θ ← θ − η·(m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)

    Weight decay λ is an L2 penalty: it adds λ·θ to g.

    Args:
        betas: β₁ and β₂.
        eps: ε.

    Source: Kingma & Ba, ICLR 2015, algorithm 1, as `torch.optim.Adam`.
    """
    return adam_rule(torch.optim.Adam, betas, eps)
