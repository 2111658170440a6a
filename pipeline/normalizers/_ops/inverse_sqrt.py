"""The power −1/2 of symmetric matrices, with derivatives where eigenvalues coincide.

The derivatives of eigenvectors, which autograd would chain, do not exist there; that of the power
does. With W = S^(−1/2), W² = S^(−1) gives dW·W + W·dW = −W²·dS·W², a linear equation in dW whose
solution differentiates in the same way, so that all orders and both modes are had.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def inverse_root(matrices: Tensor) -> Tensor:
    """S^(−1/2) of symmetric, positive definite matrices S (..., d, d)."""
    return _InverseRoot.apply(matrices)


class _InverseRoot(torch.autograd.Function):
    @staticmethod
    def forward(matrices: Tensor) -> Tensor:
        values, vectors = _eigen(matrices)
        # Rounding may leave the smallest eigenvalues of a nearly singular S at 0 or below.
        floor = values[..., -1:] * torch.finfo(values.dtype).eps
        return vectors * torch.rsqrt(torch.maximum(values, floor))[..., None, :] @ vectors.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        square = root @ root
        return -square @ _Solution.apply(root, gradients[0]) @ square

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        square = root @ root
        return _Solution.apply(root, -square @ tangents[0] @ square)


class _Solution(torch.autograd.Function):
    """X of A·X + X·A = R, for symmetric, positive definite A."""

    @staticmethod
    def forward(a: Tensor, right: Tensor) -> Tensor:
        values, vectors = _eigen(a)
        sums = values[..., :, None] + values[..., None, :]
        return vectors @ (vectors.mT @ right @ vectors / sums) @ vectors.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        a, solution = ctx.saved_tensors
        in_right = _Solution.apply(a, gradients[0])
        return -(in_right @ solution.mT + solution.mT @ in_right), in_right

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        a, solution = ctx.saved_tensors
        in_a, in_right = tangents
        return _Solution.apply(a, in_right - in_a @ solution - solution @ in_a)


def _eigen(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors; the values are NaN where a matrix is not finite.

    Solvers raise on such a matrix: CUDA's always, LAPACK's at some sizes. A diverged cell must end
    as diverged, and not as failed. On CUDA the solver itself makes the host wait.
    """
    finite = matrices.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    values, vectors = torch.linalg.eigh(matrices.where(finite, 0.0))
    return values.where(finite[..., 0], torch.nan), vectors
