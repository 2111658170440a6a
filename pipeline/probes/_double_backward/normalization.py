"""Batch normalization by the batch's own statistics; all its passes over the maps are counted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pipeline.probes._double_backward._once import refuse_third_derivatives

_gradients = torch.ops.aten.native_batch_norm_backward


def normalization(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """`torch.nn.functional.batch_norm` of (N, C, …); None where running statistics take part.

    torch differentiates the backward pass by some thirty passes over the maps; here it is two
    reductions and two sums.
    """
    del running_var, momentum  # go with running_mean
    if not training or running_mean is not None:
        return None
    return _Normalization.apply(input, weight, bias, eps)


class _Normalization(torch.autograd.Function):
    """y = γ·x̂ + β, x̂ = (x − μ)·r, r = 1/√(σ² + ε), all moments over a channel's m entries."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float
    ) -> Tensor:
        y, mean, r = torch.native_batch_norm(x, gamma, beta, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, gamma, mean, r)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found = _NormalizationBackward.apply(gradients[0], *ctx.saved_tensors, ctx.eps)
        wanted = ctx.needs_input_grad
        return *(part if want else None for part, want in zip(found, wanted, strict=False)), None


class _NormalizationBackward(torch.autograd.Function):
    """With P = r·(1 − |1⟩⟨1|/m − |x̂⟩⟨x̂|/m): ∂L/∂x = γ·P·g, ∂L/∂γ = ⟨g, x̂⟩, ∂L/∂β = ⟨g, 1⟩.

    P is the derivative of x̂ and symmetric, and dr = −r²·⟨x̂, dx⟩/m. So the derivatives of
    γ·⟨u, P·g⟩ + v·⟨g, x̂⟩ + s·⟨g, 1⟩, u, v and s being what the three outputs are weighted with, are

        in g: γ·P·u + v·x̂ + s
        in x: −γ·r²·q/m·x̂ − γ·r·⟨g, x̂⟩/m·P·u + (v − γ·r·⟨u, x̂⟩/m)·P·g
        in γ: r·q,    q = ⟨u, g⟩ − ⟨u, 1⟩⟨g, 1⟩/m − ⟨u, x̂⟩⟨g, x̂⟩/m

    Written out, the first two are sums of maps (u, g, x̂, 1) with one coefficient a channel.
    """

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, gamma: Tensor | None, mean: Tensor, r: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        parts = (g, x, _weight(gamma, x), None, None, mean, r, True, eps, [True, True, True])
        in_x, in_gamma, in_beta = _gradients(*parts)
        ctx.save_for_backward(g, x, gamma, mean, r, in_gamma, in_beta)
        ctx.eps = eps
        return in_x, in_gamma, in_beta

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Tensor | None, ...]:
        refuse_third_derivatives()
        (u, v, s), (g, x, gamma, mean, r, g_x, g_1) = vectors, ctx.saved_tensors
        m, scale = x.numel() // x.shape[1], r if gamma is None else gamma * r
        weight = _weight(gamma, x)  # its values do not matter to ⟨u, x̂⟩ and ⟨u, 1⟩
        parts = (u, x, weight, None, None, mean, r, True, ctx.eps, [False, True, True])
        _, u_x, u_1 = _gradients(*parts)
        in_gamma = r * ((u * g).sum(_others(x)) - (u_1 * g_1 + u_x * g_x) / m)
        standardized = v - scale * u_x / m  # the coefficient of x̂ in g, and of P·g in x
        along_u, along_g = -scale * r * g_x / m, r * standardized
        along_x = -(scale * in_gamma + along_u * u_x + along_g * g_x) / m
        in_g = _combined(s - scale * u_1 / m, mean, r, standardized, x, (scale, u))
        shift = -(along_u * u_1 + along_g * g_1) / m
        in_x = _combined(shift, mean, r, along_x, x, (along_u, u), (along_g, g))
        return in_g, in_x, None if gamma is None else in_gamma, None, None, None


def _weight(gamma: Tensor | None, x: Tensor) -> Tensor:
    """γ, or ones: CUDA's kernels make ∂L/∂γ and ∂L/∂β like the weight, so there must be one."""
    return x.new_ones(x.shape[1]) if gamma is None else gamma


def _combined(
    shift: Tensor, mean: Tensor, r: Tensor, standardized: Tensor, x: Tensor, *terms: Any
) -> Tensor:
    """Sum over channels' coefficients: shift·1 + standardized·x̂ + the terms (coefficient, map)."""
    along_x = standardized * r
    total = torch.addcmul(_channels(shift - along_x * mean, x), x, _channels(along_x, x))
    for coefficient, values in terms:
        total.addcmul_(values, _channels(coefficient, x))
    return total


def _channels(vector: Tensor, x: Tensor) -> Tensor:
    return vector.view(1, -1, *[1] * (x.ndim - 2))


def _others(x: Tensor) -> list[int]:
    return [0, *range(2, x.ndim)]
