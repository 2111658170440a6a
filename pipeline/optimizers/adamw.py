"""Adam with decoupled weight decay."""

from __future__ import annotations

import torch

from pipeline.catalog.option_types import Betas, Positive
from pipeline.optimizers import UpdateRule
from pipeline.optimizers._adam import adam_rule


def adamw(*, betas: Betas = (0.9, 0.999), eps: Positive = 1e-8) -> UpdateRule:
    """Adam with weight decay apart from the gradient.

    With g the gradient on the batch, m = v = 0 at the start, at step t = 1, 2, …

        m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²
        θ ← θ − η·(m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)

    Before that, weight decay λ shrinks the parameters: θ ← θ − η·λ·θ.

    Args:
        betas: β₁ and β₂.
        eps: ε.

    Source: Loshchilov & Hutter, ICLR 2019, algorithm 2, as `torch.optim.AdamW`.
    """
    return adam_rule(torch.optim.AdamW, betas, eps)
