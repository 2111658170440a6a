"""Both ends of a symmetric operator's spectrum by Lanczos' method, each with its residual."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.data._transfer import send
from pipeline.probes._vectors import norm

LARGEST, SMALLEST = 0, 1
_LOOK_EVERY = {"cpu": 1}


class Extremes(NamedTuple):
    """Largest and smallest (algebraic) Ritz values θ and vectors u, ‖u‖ = 1."""

    values: Tensor
    """(2) in float64, on the operator's device; NaN where products are not finite."""
    residuals: Tensor
    """(2): ‖H·u − θ·u‖ / |θ|, which bounds the relative distance of θ to an eigenvalue."""
    vectors: Tensor
    """(2, n)."""
    converged: bool
    """Every residual that was asked for is within the tolerance."""
    products: int
    """How many products with H were taken."""


def lanczos(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    tolerance: float,
    products: int,
    ends: Collection[int] = (LARGEST,),
) -> Extremes:
    """Extreme eigenvalues of a symmetric H from its products with vectors.

    The basis V is orthogonalized against all of itself at every step. With M = Vᵀ·H·V as measured
    and β the length of what is left over after the last step, a unit s with T·s = θ·s gives u = V·s
    and

        ‖H·u − θ·u‖² = ‖(M − θ)·s‖² + (β·s_m)²

    (T is M's symmetric tridiagonal part; the rest of M is what rounding put there: it is part of
    the residual and not hidden). Iteration stops as soon as every end in ``ends`` has a residual
    of at most tolerance·|θ|, after ``products``, or where V spans an invariant subspace.

    A residual certifies that an eigenvalue is near, not that none lies beyond: ``start`` must have
    a part along the wanted eigenvectors, which a random part gives almost surely.

    Cost: the products, 4·n·m operations after the m-th, and (products + 1)·n numbers of memory.
    The host looks at the residuals after every product on a CPU; elsewhere, where looking means
    waiting for the device, after every fourth.

    Args:
        product: v (n) → H·v (n).
        start: (n), not 0, of any length.
        tolerance: relative residual to reach.
        products: most products to take, at least 1.
        ends: which ends must reach it, of LARGEST and SMALLEST.

    Source: Lanczos, J. Res. Nat. Bur. Standards 45 (1950); full reorthogonalization: Parlett, *The
    Symmetric Eigenvalue Problem* (1980), chapter 13.
    """
    most, step, look_every = min(products, start.numel()), 0, _LOOK_EVERY.get(start.device.type, 4)
    basis = start.new_empty(most + 1, start.numel())
    basis[0] = _unit(start)
    measured = start.new_zeros(most, most, dtype=torch.float64)
    left = start.new_zeros(most, dtype=torch.float64)
    while True:
        rest = product(basis[step])
        _orthogonalize(rest, basis[: step + 1], measured[: step + 1, step], left)
        torch.div(rest, left[step].to(rest.dtype), out=basis[step + 1])
        step += 1
        if step % look_every and step < most:
            continue
        found = _ritz(measured[:step, :step].cpu(), left[:step].cpu(), torch.finfo(rest.dtype).eps)
        converged = bool((found.residuals <= tolerance * found.values.abs())[[*ends]].all())
        if converged or found.final or step == most:
            return _extremes(found, basis, converged, step)


def start_vector(gradient: Tensor, last: Tensor | None, rng: torch.Generator) -> Tensor:
    """A vector to start from, not of unit length.

    Cold: along the gradient, which has large parts along the largest eigenvectors, and a tenth
    along chance, so that none is missed. Warm: the sum of what was found last, and a fifth of that.

    Args:
        gradient: (n); one without a direction (0, or not finite) is left out.
        last: unit vectors (k, n), or None.
        rng: on the host.
    """
    drawn = torch.randn(gradient.shape, generator=rng, dtype=gradient.dtype)
    unit, random = _unit(gradient), _unit(send(drawn, gradient.device))
    cold = unit.nan_to_num() + 0.1 * random
    return cold if last is None else last.nan_to_num().sum(0) + 0.2 * cold


def _unit(vector: Tensor) -> Tensor:
    """Scale to length 1; plain float32 could be a percent off (`pipeline.probes._vectors.norm`)."""
    return (vector / norm(vector)).to(vector.dtype)


def _orthogonalize(rest: Tensor, basis: Tensor, column: Tensor, left: Tensor) -> None:
    """Take from H·v what lies in the basis; write down how much that was, and what is left.

    First along the last two vectors, where in exact arithmetic all of it lies, then along all.
    """
    last = len(basis) - 1
    column[last] = basis[last] @ rest
    if last:
        column[last - 1] = left[last - 1]
    for place in range(max(0, last - 1), last + 1):
        rest.addcmul_(basis[place], column[place].to(rest.dtype), value=-1)
    again = basis @ rest
    rest.addmv_(basis.mT, again, alpha=-1)
    column += again
    left[last] = norm(rest)


class _Ritz(NamedTuple):
    """Of the small problem, the largest and the smallest; on the host, in float64."""

    values: Tensor
    """(2): θ."""
    residuals: Tensor
    """(2): ‖H·u − θ·u‖."""
    weights: Tensor
    """(2, m): s."""
    final: bool
    """More products add nothing: the basis spans an invariant subspace, or a number is not finite.
    """


def _ritz(measured: Tensor, left: Tensor, rounding: float) -> _Ritz:
    """Solve the small problem, up to where nothing was left over and the basis went astray."""
    done = left <= 100 * rounding * measured.nan_to_num().abs().max()
    invariant = bool(done.any())
    size = int(done.int().argmax()) + 1 if invariant else len(left)
    measured, left = measured[:size, :size], left[:size]
    if not (measured.isfinite().all() and left.isfinite().all()):
        nothing = torch.full((2, size), torch.nan, dtype=torch.float64)
        return _Ritz(nothing[:, 0], nothing[:, 0], nothing, True)
    below = torch.diag(left[:-1], -1)
    values, vectors = torch.linalg.eigh(measured.diag().diag() + below + below.mT)
    ends = [size - 1, 0]  # in the order of LARGEST and SMALLEST
    theta, weights = values[ends], vectors[:, ends]
    within = (measured.triu() + below) @ weights - theta * weights
    beyond = left[-1] * weights[-1]
    return _Ritz(theta, (within.square().sum(0) + beyond.square()).sqrt(), weights.mT, invariant)


def _extremes(found: _Ritz, basis: Tensor, converged: bool, products: int) -> Extremes:
    values, residuals = found.values, found.residuals
    vectors = found.weights.to(basis) @ basis[: found.weights.shape[1]]
    return Extremes(
        values=values.to(basis.device),
        residuals=(residuals / values.abs()).to(basis.device),
        vectors=torch.stack([_unit(vector) for vector in vectors]),
        converged=converged,
        products=products,
    )
