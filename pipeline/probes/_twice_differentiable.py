"""Convolution and batch normalization whose second derivatives cost as little as can be.

The backward pass of torch's own is differentiated by general rules: of a convolution's, with
respect to weight and input, by convolutions with kernels as large as the maps; of batch
normalization's, by some thirty passes over the maps. Here each is an operation of its own with a
closed backward: two convolutions and one call of the common backward; two reductions and two sums.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_convolution_gradients = torch.ops.aten.convolution_backward
_normalization_gradients = torch.ops.aten.native_batch_norm_backward
_ARGUMENTS = signature(functional.batch_norm)


class TwiceDifferentiable(TorchFunctionMode):
    """Within it, two-dimensional convolutions and normalizations over the batch are those here.

    Everything else, and these with other arguments (running statistics, named paddings, samples
    without a batch), is left to torch. Values and derivatives are the same up to rounding.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace the two functions."""
        kwargs = kwargs or {}
        if func is torch.conv2d and _is_plain(*args, **kwargs):
            return _convolution(*args, **kwargs)
        if func is functional.batch_norm:
            given = _ARGUMENTS.bind(*args, **kwargs)
            given.apply_defaults()
            options = given.arguments
            if options["training"] and options["running_mean"] is None:
                parts = [options[name] for name in ("input", "weight", "bias", "eps")]
                return _Normalization.apply(*parts)
        return func(*args, **kwargs)


def _is_plain(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> bool:
    del weight
    padding = args[2] if len(args) > 2 else kwargs.get("padding", 0)
    return input.ndim == 4 and not isinstance(padding, str)


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    pairs = [[x, x] if isinstance(x, int) else list(x) for x in (stride, padding, dilation)]
    return _Convolution.apply(input, weight, bias, (*pairs, False, [0, 0], groups))


class _Convolution(torch.autograd.Function):
    """y = x ∗ w + b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, options: Any) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.options = options
        return torch.convolution(x, w, b, *options)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (x, w) = gradients, ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        gx, gw = _ConvolutionBackward.apply(g, x, w, ctx.options, wanted)
        return gx, gw, g.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None


class _ConvolutionBackward(torch.autograd.Function):
    """(∂L/∂x, ∂L/∂w) from g = ∂L/∂y; linear in g with x and w, and in each of these."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, w: Tensor, options: Any, wanted: Any) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x, w)
        ctx.options = options
        return _convolution_gradients(g, x, w, None, *options, [*wanted, False])[:2]

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor | None) -> tuple[Tensor | None, ...]:
        _refuse_third_derivatives()
        (u, v), (g, x, w), options = vectors, ctx.saved_tensors, ctx.options
        terms = [] if u is None else [torch.convolution(u, w, None, *options)]
        if v is not None:
            terms.append(torch.convolution(x, v, None, *options))
        in_g = terms[0].add_(terms[1]) if len(terms) == 2 else (terms or [None])[0]
        # As a convolution of u with v would be differentiated, g coming in.
        wanted = [ctx.needs_input_grad[1] and v is not None, u is not None]
        if not any(wanted):
            return in_g, None, None, None, None
        u, v = x if u is None else u, w if v is None else v
        return (
            in_g,
            *_convolution_gradients(g, u, v, None, *options, [*wanted, False])[:2],
            None,
            None,
        )


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
        parts = (g, x, gamma, None, None, mean, r, True, eps, [True, True, True])
        in_x, in_gamma, in_beta = _normalization_gradients(*parts)
        ctx.save_for_backward(g, x, gamma, mean, r, in_gamma, in_beta)
        ctx.eps = eps
        return in_x, in_gamma, in_beta

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_third_derivatives()
        (u, v, s), (g, x, gamma, mean, r, g_x, g_1) = vectors, ctx.saved_tensors
        m, scale = x.numel() // x.shape[1], r if gamma is None else gamma * r
        parts = (u, x, None, None, None, mean, r, True, ctx.eps, [False, True, True])
        _, u_x, u_1 = _normalization_gradients(*parts)
        in_gamma = r * ((u * g).sum(_others(x)) - (u_1 * g_1 + u_x * g_x) / m)
        standardized = v - scale * u_x / m  # the coefficient of x̂ in g, and of P·g in x
        along_u, along_g = -scale * r * g_x / m, r * standardized
        along_x = -(scale * in_gamma + along_u * u_x + along_g * g_x) / m
        in_g = _combined(s - scale * u_1 / m, mean, r, standardized, x, (scale, u))
        shift = -(along_u * u_1 + along_g * g_1) / m
        in_x = _combined(shift, mean, r, along_x, x, (along_u, u), (along_g, g))
        return in_g, in_x, None if gamma is None else in_gamma, None, None, None


def _refuse_third_derivatives() -> None:
    # once_differentiable would not do: `autograd.grad` leaves its error out as not on the path.
    if torch.is_grad_enabled():
        raise NotImplementedError("a Hessian-vector product is not differentiated again here")


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
