"""Batch normalization: each unit is standardized over the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.batch_norm import BatchNorm
from pipeline.normalizers._ops.common import above_zero, within


class GhostBatchNorm(BatchNorm):
    """Batch normalization of every ghost batch on its own; see `ghost_batch`."""

    def __init__(
        self, channels: int, *, ghost: int, eps: float, momentum: float, affine: bool
    ) -> None:
        super().__init__(channels, eps=eps, momentum=momentum, affine=affine)
        self.ghost = ghost

    def forward(self, input: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        if not self.training:
            return super().forward(input)
        return torch.cat([super(GhostBatchNorm, self).forward(p) for p in input.split(self.ghost)])


def batch(*, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> Normalizer:
    """Batch normalization: zero mean and unit variance over the batch, per channel.

    y = γ·(x − μ)/√(σ² + ε) + β, with μ and σ² the mean and the biased variance over (N) or
    (N, H, W). Evaluation uses running averages instead: r ← (1 − momentum)·r + momentum·batch
    value, of μ and of the *unbiased* variance, as torch does.

    Args:
        eps: ε, above 0.
        momentum: weight of the newest batch in the running averages, in [0, 1].
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; in training, if a batch holds one value a channel.

    Source: Ioffe & Szegedy, ICML 2015.
    """
    above_zero(eps=eps)
    within(0, 1, momentum=momentum)
    return Normalizer(
        features=lambda channels: BatchNorm(channels, eps=eps, momentum=momentum, affine=affine),
        traits=Traits(
            batch_dependent=True, running_stats=True, scale_invariant_weights=True, bias_free=True
        ),
    )


def ghost_batch(
    *, ghost: int = 16, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
) -> Normalizer:
    """Ghost batch normalization: `batch`, over consecutive parts of a batch, each on its own.

    The batch is cut, in its order, into ghosts of ``ghost`` samples, the last of which holds what
    remains; μ and σ² of y = γ·(x − μ)/√(σ² + ε) + β are those of a sample's ghost. The running
    averages, of μ and of the unbiased variance, take in the ghosts one after another, as if each
    were a batch. So does the authors' code (eladhoffer/bigBatch, main_gbn.py), which runs a network
    with torch's batch normalization on ghost after ghost; their printed Algorithm 1 averages σ in
    place of the variance. Evaluation is that of `batch`, which also a batch of at most one ghost
    equals.

    Args:
        ghost: samples of a ghost, at least 2. The source takes 128 of a batch of 4,096 (its code's
            default is 128 too); this is an eighth of the common batch of 128.
        eps: ε, above 0.
        momentum: weight of the newest ghost in the running averages, in [0, 1].
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; in training, if a ghost holds one value a channel.

    Cost: a kernel a ghost, and a copy that joins them.

    Source: Hoffer, Hubara & Soudry, NeurIPS 2017.
    """
    within(2, math.inf, ghost=ghost)
    plain = batch(eps=eps, momentum=momentum, affine=affine)
    return Normalizer(
        features=lambda channels: GhostBatchNorm(
            channels, ghost=ghost, eps=eps, momentum=momentum, affine=affine
        ),
        traits=plain.traits,
    )
