"""Standardization over the batch as one operation, its first two derivatives in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pipeline.normalizers._ops.common import batch_axes
from pipeline.normalizers._ops.folded import combined, folded, moments, projections

_gradients = torch.ops.aten.native_batch_norm_backward


def standardized(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """y = γ·x̂ + β with x̂ = (x − μ)/√(σ² + ε) over the batch, per channel; and μ and σ² (C).

    μ and σ² (biased) carry no derivative. Forward and backward are torch's kernels, but for the
    sums of `_folded`; a second derivative costs two reductions and two sums of maps, where torch
    takes some thirty passes.

    Args:
        x: (N, C) or (N, C, H, W).
        gamma, beta: (C), or None for 1 and 0.
        eps: ε, above 0.
    """
    return _Standardized.apply(x, gamma, beta, eps)


class _Standardized(torch.autograd.Function):
    """With P = r·(1 − |1⟩⟨1|/m − |x̂⟩⟨x̂|/m), the derivative of x̂, and r = 1/√(σ² + ε)."""

    @staticmethod
    def forward(
        x: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows = folded(x)
        if rows is None:
            y, mean, r = torch.native_batch_norm(x, gamma, beta, None, None, True, 0.0, eps)
            return y, mean, r**-2 - eps
        mean, variance = moments(rows, x.shape[1])
        y, _, _ = torch.native_batch_norm(x, gamma, beta, mean, variance, False, 0.0, eps)
        return y, mean, variance

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, gamma, _, ctx.eps = inputs
        _, mean, variance = output
        ctx.mark_non_differentiable(mean, variance)
        kept = (x, gamma, mean, torch.rsqrt(variance + ctx.eps))
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found = _Backward.apply(gradients[0], *ctx.saved_tensors, ctx.eps)
        wanted = ctx.needs_input_grad
        return *(part if want else None for part, want in zip(found, wanted, strict=False)), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, None, None]:
        in_x, in_gamma, in_beta, _ = tangents
        x, gamma, mean, r = ctx.saved_tensors
        if torch.is_grad_enabled():
            mean, r = _statistics(x, ctx.eps)
        total = torch.zeros_like(x)
        if in_x is not None:
            total = _projected(in_x, x, gamma, mean, r)[0]
        if in_gamma is not None:
            total = total + combined(x, -in_gamma * r * mean, (in_gamma * r, x))
        if in_beta is not None:
            total = total + combined(x, in_beta)
        return total, None, None


class _Backward(torch.autograd.Function):
    """∂L/∂x = γ·P·g, ∂L/∂γ = ⟨g, x̂⟩, ∂L/∂β = ⟨g, 1⟩, of g = ∂L/∂y.

    P is symmetric, and dr = −r²·⟨x̂, dx⟩/m. So the derivatives of γ·⟨u, P·g⟩ + v·⟨g, x̂⟩ + s·⟨g, 1⟩,
    u, v and s being what the three outputs are weighted with, are

        in g: γ·P·u + v·x̂ + s
        in x: −γ·r²·q/m·x̂ − γ·r·⟨g, x̂⟩/m·P·u + (v − γ·r·⟨u, x̂⟩/m)·P·g
        in γ: r·q,    q = ⟨u, g⟩ − ⟨u, 1⟩⟨g, 1⟩/m − ⟨u, x̂⟩⟨g, x̂⟩/m

    Written out, the first two are sums of maps (u, g, x̂, 1) with one coefficient per channel.
    """

    @staticmethod
    def forward(
        g: Tensor, x: Tensor, gamma: Tensor | None, mean: Tensor, r: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        if folded(x) is not None:
            return _projected(g, x, gamma, mean, r)
        weight = torch.ones_like(mean) if gamma is None else gamma  # CUDA's kernel wants one
        return _gradients(g, x, weight, None, None, mean, r, True, eps, [True, True, True])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *kept, ctx.eps = inputs
        ctx.save_for_backward(*kept, *output[1:])
        ctx.save_for_forward(*kept, *output[1:])

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Tensor | None, ...]:
        (u, v, s), (g, x, gamma, mean, r, g_x, g_1) = vectors, _recomputed(ctx)
        m, (u_x, u_1) = _count(x), projections(u, x, mean, r)
        scale = r if gamma is None else gamma * r
        in_gamma = r * ((u * g).sum(batch_axes(x)) - (u_1 * g_1 + u_x * g_x) / m)
        along = v - scale * u_x / m  # the coefficient of x̂ in g, and of P·g in x
        along_u, along_g = -scale * r * g_x / m, r * along
        along_x = -(scale * in_gamma + along_u * u_x + along_g * g_x) / m * r
        in_g = combined(x, s - scale * u_1 / m - along * r * mean, (along * r, x), (scale, u))
        shift = -(along_u * u_1 + along_g * g_1) / m - along_x * mean
        in_x = combined(x, shift, (along_x, x), (along_u, u), (along_g, g))
        return in_g, in_x, None if gamma is None else in_gamma, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """With Q = P·g: dQ = P·dg − r/m·(⟨x̂, dx⟩·Q + ⟨g, x̂⟩·P·dx + ⟨Q, dx⟩·x̂)."""
        g, x, gamma, mean, r, g_x, g_1 = _recomputed(ctx)
        at, m = (x, None, mean, r), _count(x)
        dg, dx = (torch.zeros_like(x) if t is None else t for t in tangents[:2])
        (of_g, along, total), (of_dx, x_x, x_1) = _projected(dg, *at), _projected(dx, *at)
        projected = _projected(g, *at)[0]
        moved = r * ((dx * g).sum(batch_axes(x)) - (x_1 * g_1 + x_x * g_x) / m)  # ⟨Q, dx⟩
        of_x, each = -r * r * moved / m, torch.ones_like(r)
        parts = [(each, of_g), (-r * x_x / m, projected), (-r * g_x / m, of_dx), (of_x, x)]
        weight = each if gamma is None else gamma
        in_x = combined(x, -weight * of_x * mean, *((weight * c, maps) for c, maps in parts))
        if tangents[2] is not None:
            in_x = in_x + combined(x, 0 * r, (tangents[2], projected))
        return in_x, along + moved, total


def _recomputed(ctx: Any) -> tuple[Any, ...]:
    """What a backward pass has kept; while derivatives are recorded, what comes of x as its own."""
    g, x, gamma, mean, r, *sums = ctx.saved_tensors
    if torch.is_grad_enabled():
        mean, r = _statistics(x, ctx.eps)
        sums = projections(g, x, mean, r)
    return g, x, gamma, mean, r, *sums


def _statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """μ and r as torch differentiates them."""
    variance, mean = torch.var_mean(x, batch_axes(x), correction=0)
    return mean, torch.rsqrt(variance + eps)


def _count(x: Tensor) -> int:
    return x.numel() // x.shape[1]


def _projected(
    g: Tensor, x: Tensor, gamma: Tensor | None, mean: Tensor, r: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """γ·P·g, ⟨g, x̂⟩ and ⟨g, 1⟩."""
    scale = r if gamma is None else gamma * r
    along, total = projections(g, x, mean, r)
    of_x = -scale * r * along / _count(x)
    in_x = combined(x, -scale * total / _count(x) - of_x * mean, (of_x, x), (scale, g))
    return in_x, along, total
