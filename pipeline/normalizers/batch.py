"""Batch normalization: each unit is standardized over the batch."""

from __future__ import annotations

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._common import require_features, within


class BatchNorm(_BatchNorm):
    """Torch's batch normalization, on (N, C) and on (N, C, H, W) alike."""

    def _check_input_dim(self, input: Tensor) -> None:
        require_features(input)


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
    if not eps > 0:
        raise ValueError(f"eps must be above 0, not {eps:g}")
    within(0, 1, momentum=momentum)
    return Normalizer(
        features=lambda channels: BatchNorm(channels, eps=eps, momentum=momentum, affine=affine),
        traits=Traits(
            batch_dependent=True, running_stats=True, scale_invariant_weights=True, bias_free=True
        ),
    )
