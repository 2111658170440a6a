"""Weights divided by their largest singular value."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import reparametrized, within

_FIRST_ITERATIONS = 15
"""Power iterations on a weight that is assigned, as torch's: enough to start near its σ."""


class SpectralNorm(nn.Module):
    """w = v/σ(v) by power iteration; see `spectral_norm`.

    Written out, since torch's own moves its buffers in every training forward, whoever looks, and
    draws their start from the global generator.
    """

    left: Tensor
    right: Tensor

    def __init__(self, shape: torch.Size, iterations: int) -> None:
        super().__init__()
        self.iterations, self.track_running_stats = iterations, True
        self.register_buffer("left", torch.zeros(shape[0]))
        self.register_buffer("right", torch.zeros(math.prod(shape[1:])))

    def forward(self, raw: Tensor) -> Tensor:
        """v (out, in, ...) → w of the same shape."""
        if self.training and self.track_running_stats:
            self._iterate(raw, self.left, self.iterations)
        # Copies, so that a later forward does not change what this one's backward needs.
        left, right = self.left.clone(), self.right.clone()
        return raw / torch.dot(left, torch.mv(raw.flatten(1), right))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Choose v = w, and find its singular vectors anew from the same start."""
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(self.left.shape, generator=generator).to(weight)
        self._iterate(weight, start, _FIRST_ITERATIONS)
        return weight

    @torch.no_grad()
    def _iterate(self, weight: Tensor, left: Tensor, count: int) -> None:
        matrix = weight.flatten(1)
        for _ in range(count):
            self.right.copy_(normalize(torch.mv(matrix.T, left), dim=0))
            self.left.copy_(normalize(torch.mv(matrix, self.right), dim=0))
            left = self.left


def spectral_norm(*, iterations: int = 1) -> Normalizer:
    """Spectral normalization: weights divided by their largest singular value.

    w = v/σ with σ = aᵀVb, V being v as a matrix (out, in·kh·kw) and a, b its leading singular
    vectors by power iteration: b ← Vᵀa/‖Vᵀa‖, a ← Vb/‖Vb‖. Every training step moves them on from
    where the last one left them; evaluation takes them as they are, and so do probes, for which
    w is then a function of v alone. The gradient takes a and b as constants: it is that of the
    forward pass, and that of the true σ once they have converged.

    The initialization is drawn for v; a and b start at 15 iterations on it. A layer so bounded
    shrinks what is not along b, so the signals of a deep network fade, unless a feature normalizer
    goes with it: ``[spectral, batch]``.

    Args:
        iterations: power iterations a training step, at least 1.

    Raises:
        ValueError: if there are fewer; if another normalizer already acts on the weight.

    Source: Miyato, Kataoka, Koyama & Yoshida, ICLR 2018.
    """
    within(1, math.inf, iterations=iterations)

    def weight(module: nn.Module) -> nn.Module:
        shape = module.get_parameter("weight").shape
        return reparametrized(module, SpectralNorm(shape, iterations))

    return Normalizer(
        weight=weight, traits=Traits(running_stats=True, scale_invariant_weights=True)
    )
