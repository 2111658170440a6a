"""Normalization over the batch with an activation of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.normalizers import Normalizer, Traits, identity
from pipeline.normalizers._ops.common import (
    Affine,
    above_zero,
    channelwise,
    require_batch,
    require_features,
    within,
)
from pipeline.normalizers._ops.moments import joined, map_moments
from pipeline.normalizers._ops.running_stats import RunningAverages


class EvoNormB0(RunningAverages):
    """x over the larger of two deviations; see `evonorm_b0`."""

    running_var: Tensor

    def __init__(self, channels: int, *, eps: float, momentum: float) -> None:
        super().__init__(momentum, running_var=torch.ones(channels))
        self.eps = eps
        self.slope = nn.Parameter(torch.ones(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        moments = map_moments(inputs)
        variance = self.running_var
        if self.training:
            require_batch(inputs)
            variance = joined(moments, 0)[1].flatten()
            self.average(running_var=variance)
        of_batch = (variance + self.eps).sqrt()
        ahead = (moments[1] + self.eps).sqrt() - of_batch
        ahead = ahead.view(*inputs.shape[:2], *[1] * (inputs.ndim - 2))
        # max(a, b) = a + relu(b − a), several times as fast as maximum.
        excess = torch.relu(torch.addcmul(ahead, inputs, channelwise(self.slope, inputs)))
        return inputs / (channelwise(of_batch, inputs) + excess)


def evonorm_b0(*, eps: float = 1e-5, momentum: float = 0.1) -> Normalizer:
    """EvoNorm-B0: normalization over the batch and activation in one, found by search.

    y = γ·x/max(√(σ_B² + ε), v·x + √(σ_I² + ε)) + β, with σ_B² the biased variance over (N) or
    (N, H, W) and σ_I² that over (H, W) of one sample, 0 for (N, C); v (from 1), γ (from 1) and β
    (from 0) per channel. Evaluation takes a running average of σ_B² (biased, as the source's code
    has it): r ← (1 − momentum)·r + momentum·σ_B². As that of `evonorm_s0`, the whole of it stands
    at the normalizer's place and nothing at the activation's.

    Args:
        eps: ε, above 0.
        momentum: weight of the newest batch in the running average, in [0, 1].

    Raises:
        ValueError: if an option is out of range; in training, if a batch holds one value a channel.

    Cost: no native kernel: some twenty passes over the features, a division a value among them.

    Source: Liu, Brock, Simonyan & Le, NeurIPS 2020.
    """
    above_zero(eps=eps)
    within(0, 1, momentum=momentum)

    def features(channels: int) -> nn.Module:
        return nn.Sequential(EvoNormB0(channels, eps=eps, momentum=momentum), Affine(channels))

    return Normalizer(
        features=features,
        activation=identity,
        traits=Traits(
            batch_dependent=True, running_stats=True, scale_invariant_weights=True, bias_free=True
        ),
    )
