"""Whitening over the batch: channels of a group are made uncorrelated, of unit variance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import (
    above_zero,
    batch_axes,
    group_count,
    require_batch,
    require_features,
    with_affine,
    within,
)
from pipeline.normalizers._ops.inverse_sqrt import inverse_root
from pipeline.normalizers._ops.moments import mean_over
from pipeline.normalizers._ops.running_stats import RunningAverages

Root = Callable[[Tensor], Tensor]
"""Symmetric, positive definite matrices (groups, d, d) → their powers −1/2, perhaps roughly."""


class Whitening(RunningAverages):
    """Multiply the centred channels of each group by Σ^(−1/2)."""

    running_mean: Tensor
    running_whitening: Tensor

    def __init__(
        self, channels: int, inverse_root: Root, *, groups: int, eps: float, momentum: float
    ) -> None:
        size = channels // groups
        super().__init__(
            momentum,
            running_mean=torch.zeros(channels),
            running_whitening=torch.eye(size).repeat(groups, 1, 1),
        )
        self.inverse_root, self.groups, self.eps = inverse_root, groups, eps

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        mean, whitening = self.running_mean, self.running_whitening
        if self.training:
            require_batch(inputs)
            mean = mean_over(inputs, batch_axes(inputs)).flatten()
            whitening = self.inverse_root(self._covariance(inputs, mean))
            self.average(running_mean=mean, running_whitening=whitening)
        shift = -(whitening @ self._grouped(mean)).flatten()
        # A product with a matrix at every position is a convolution of 1x1, for which there are
        # native kernels in every memory order.
        maps = inputs.view(*inputs.shape[:2], *(inputs.shape[2:] or (1, 1)))
        kernel = whitening.flatten(0, 1)[..., None, None]
        return functional.conv2d(maps, kernel, shift, groups=self.groups).view(inputs.shape)

    def _covariance(self, inputs: Tensor, mean: Tensor) -> Tensor:
        """cov x + ε·I (groups, d, d), as `_moments` takes a variance: around a constant."""
        centre = mean.detach()
        rows = inputs.movedim(1, -1).flatten(0, -2) - centre
        rows = rows.unflatten(1, (self.groups, -1)).transpose(0, 1)
        off = self._grouped(mean - centre)
        identity = torch.eye(rows.shape[2], dtype=rows.dtype, device=rows.device)
        return rows.mT @ rows / rows.shape[1] - off @ off.mT + self.eps * identity

    def _grouped(self, channels: Tensor) -> Tensor:
        """(C) → (groups, d, 1)."""
        return channels.view(self.groups, -1, 1)


def iterative_whitening(
    *,
    groups: int = 1,
    channels_per_group: int | None = None,
    iterations: int = 5,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = True,
) -> Normalizer:
    """Iterative normalization: channels whitened over the batch, by a few of Newton's iterations.

    y = γ·P·(x − μ)/√(tr Σ) + β per group of consecutive channels, with μ and Σ = cov x + ε·I over
    (N) or (N, H, W), P_0 = I and, Σ_1 = Σ/tr Σ,

        P_k = (3·P_(k−1) − P_(k−1)³·Σ_1)/2,    P = P_iterations → Σ_1^(−1/2).

    Few iterations whiten the large directions and leave small ones small; many magnify the rounding
    of an ill-conditioned Σ, without bound. Evaluation uses running
    averages, r ← (1 − momentum)·r + momentum·batch value, of μ and of the matrix P/√(tr Σ).

    Args:
        groups: number of groups; it must divide every channel count of the network. One group
            whitens all channels together, at a cost that grows as their cube.
        channels_per_group: size of a group instead; then ``groups`` is not used. The source's
            networks for ImageNet have 64.
        iterations: at least 1.
        eps: ε, at least 0.
        momentum: weight of the newest batch in the running averages, in [0, 1].
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; if a channel count does not divide into such
            groups; in training, if a batch holds one value a channel.

    Cost: products with C x C/groups matrices at every position, five of them a step, against a few
    operations a value: as many multiplications as five convolutions of 1x1.

    Source: Huang, Zhou, Zhu, Liu & Shao, CVPR 2019 (IterNorm).
    """
    within(0, math.inf, eps=eps)
    within(1, math.inf, groups=groups, iterations=iterations)
    if channels_per_group is not None:
        within(1, math.inf, channels_per_group=channels_per_group)
    within(0, 1, momentum=momentum)

    def norm(channels: int) -> Whitening:
        count = group_count("iterative_whitening", channels, groups, channels_per_group)
        root = partial(_newton, iterations=iterations)
        return Whitening(channels, root, groups=count, eps=eps, momentum=momentum)

    return Normalizer(features=with_affine(norm, affine), traits=_TRAITS)


def decorrelated_batch(
    *,
    channels_per_group: int = 16,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = True,
) -> Normalizer:
    """Decorrelated batch normalization: channels whitened over the batch, exactly.

    y = γ·Σ^(−1/2)·(x − μ) + β per group of consecutive channels, with μ and Σ = cov x + ε·I over
    (N) or (N, H, W), the power by eigenvalues (ZCA: of all whitenings that which changes x least).
    Evaluation uses running averages, r ← (1 − momentum)·r + momentum·batch value, of μ and of
    Σ^(−1/2). A batch of at most C/groups values a channel cannot be whitened; ε decides there.

    Args:
        channels_per_group: size of a group; it must divide every channel count of the network.
        eps: ε, above 0.
        momentum: weight of the newest batch in the running averages, in [0, 1].
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range; if a channel count does not divide into such
            groups; in training, if a batch holds one value a channel.

    Cost: as `iterative_whitening`, with the eigenvalues of a matrix a group.

    Source: Huang, Yang, Lang & Deng, CVPR 2018.
    """
    above_zero(eps=eps)
    within(1, math.inf, channels_per_group=channels_per_group)
    within(0, 1, momentum=momentum)

    def norm(channels: int) -> Whitening:
        count = group_count("decorrelated_batch", channels, 1, channels_per_group)
        return Whitening(channels, inverse_root, groups=count, eps=eps, momentum=momentum)

    traits = replace(_TRAITS, host_state=True)  # CUDA's eigenvalue solvers make the host wait
    return Normalizer(features=with_affine(norm, affine), traits=traits)


_TRAITS = Traits(
    batch_dependent=True, running_stats=True, scale_invariant_weights=True, bias_free=True
)


def _newton(matrices: Tensor, *, iterations: int) -> Tensor:
    """Newton's iterations towards the power −1/2, on matrices of unit trace."""
    identity = torch.eye(matrices.shape[1], dtype=matrices.dtype, device=matrices.device)
    trace = (matrices * identity).sum((1, 2), keepdim=True)
    scaled = matrices / trace
    root = identity.expand_as(scaled)
    for _ in range(iterations):
        root = 1.5 * root - 0.5 * root @ root @ root @ scaled
    return root * torch.rsqrt(trace)
