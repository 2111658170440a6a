"""λ_max to a certified residual: ours and the peers', on one view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from benchmarks._products import BUILD, fresh
from benchmarks._timing import UNIT, Seconds, in_units, interleaved
from pipeline.probes._lanczos import LARGEST, lanczos, start_vector
from pipeline.probes._vectors import flat
from pipeline.probes._view import View
from tests.helpers.reference import hessian_peers as peers
from tests.helpers.reference.hessian_peers import Product
from tests.helpers.training.scene import doubled

TOLERANCE = 1e-3
"""Relative residual that every method is asked for."""
MOST = 300
"""Products after which a method gives up."""
KNOWN = 80
"""Most steps of hessian-eigenthings' Lanczos."""
WITHIN = "normscope, cold, in PyHessian's time"


@dataclass(frozen=True)
class Truth:
    """λ_max and the Hessian in float64, at the same θ and batch."""

    product: Product
    value: float

    def residual(self, value: float, vector: Tensor) -> float:
        """‖H·u − λ·u‖ / |λ| with the exact H."""
        unit = vector.double() / vector.double().norm()
        return ((self.product(unit) - value * unit).norm() / abs(value)).item()

    def error(self, value: float) -> float:
        """Relative error of an estimate of λ_max."""
        return abs(value - self.value) / abs(self.value)


def truth(view: View) -> Truth:
    """Lanczos in float64 to a residual of 1e-6: the error of λ is of its square.

    What certifies others, the product of the residuals, is by double backward.
    """
    exact = doubled(view)
    start = start_vector(flat(exact.grad), None, exact.rng)
    found = lanczos(fresh(exact), start, tolerance=1e-6, products=MOST)
    return Truth(peers.double_backward(exact), found.values[LARGEST].item())


@dataclass(frozen=True)
class Found:
    """What a method says λ_max is."""

    value: float
    vector: Tensor
    products: int


@dataclass
class Counted:
    """A product that counts itself, and can be given to scipy."""

    product: Product
    like: Tensor
    count: int = 0

    def __call__(self, vector: Tensor) -> Tensor:
        """H·v."""
        self.count += 1
        return self.product(vector)

    def scipy(self) -> LinearOperator:
        """The same for NumPy vectors."""

        def matvec(vector: np.ndarray) -> np.ndarray:
            given = torch.from_numpy(vector.reshape(-1)).to(self.like)
            return self(given).cpu().numpy()

        size = self.like.numel()
        return LinearOperator((size, size), matvec=matvec, dtype=np.float32)  # pyright: ignore


def with_lanczos(view: View, before: Tensor | None, most: int, tolerance: float) -> Found:
    """Ours, graph included: from the gradient and chance, and for a warm start a vector."""
    gradient = flat(view.grad)
    rng = torch.Generator().manual_seed(0)
    start = start_vector(gradient, None if before is None else before[None], rng)
    found = lanczos(fresh(view), start, tolerance=tolerance, products=most)
    return Found(found.values[LARGEST].item(), found.vectors[LARGEST], found.products)


def with_eigsh(product: Product, like: Tensor) -> Found:
    """scipy's ARPACK, from a random start, to the same relative residual."""
    counted = Counted(product, like)
    start = np.random.default_rng(0).standard_normal(like.numel()).astype(np.float32)
    tolerance: Any = TOLERANCE  # scipy's stubs take it for an integer
    values, vectors = eigsh(counted.scipy(), 1, which="LA", tol=tolerance, v0=start)
    return Found(float(values[0]), torch.from_numpy(vectors[:, 0]).to(like), counted.count)


def with_eigenthings(view: View, steps: int) -> Found:
    """Its Lanczos, which takes a number of steps and no tolerance to stop at."""
    found = peers.eigenthings_lanczos(
        peers.eigenthings(view), k=1, max_iter=steps, tol=TOLERANCE, which="LA", seed=0
    )
    return Found(found.eigenvalues.item(), found.eigenvectors[0], found.iterations)


def steps_of_eigenthings(view: View) -> int:
    """The fewest steps after which its own criterion holds, as if its user had known them."""
    operator = peers.eigenthings(view)
    start = torch.randn(operator.size, generator=torch.Generator().manual_seed(0))
    run = peers.lanczos_tridiagonal(operator, start.to(flat(view.before)), KNOWN)
    for steps in range(2, KNOWN):
        below = torch.diag(run.betas[: steps - 1], -1)
        values, vectors = torch.linalg.eigh(torch.diag(run.alphas[:steps]) + below + below.T)
        if (run.betas[steps - 1] * vectors[-1, -1]).abs() < TOLERANCE * values[-1].abs():
            return steps
    return KNOWN


def with_power(view: View) -> Found:
    """hessian-eigenthings' power iteration: the eigenvalue of largest size."""
    value, vector, _, steps, _ = peers.power_iteration_one(
        peers.eigenthings(view), max_iter=MOST, tol=TOLERANCE, seed=0
    )
    return Found(value, vector, steps)


def with_pyhessian(view: View) -> Found:
    """PyHessian's power iteration, kept in training mode so that it sees the same function."""
    torch.manual_seed(0)
    made = peers.pyhessian(view, eval_mode=False)
    values, vectors = made.eigenvalues(tol=TOLERANCE)
    return Found(values[0], flat(vectors[0]), 0)


@dataclass(frozen=True)
class Race:
    """Times and findings of all methods on one view."""

    seconds: Seconds
    found: dict[str, Found]
    truth: Truth


def race(view: View, before: Tensor, gradient: Callable[[], object], rounds: int) -> Race:
    """All methods to the same tolerance, interleaved; then ours within PyHessian's time.

    Args:
        view: the step.
        before: the eigenvector found some steps earlier.
        gradient: G.
        rounds: timed rounds.
    """
    steps, like = steps_of_eigenthings(view), flat(view.before)
    found: dict[str, Found] = {}
    methods: dict[str, Callable[[], Found]] = {
        "normscope, cold": lambda: with_lanczos(view, None, MOST, TOLERANCE),
        "normscope, warm": lambda: with_lanczos(view, before, MOST, TOLERANCE),
        "scipy eigsh on normscope's product": lambda: with_eigsh(fresh(view), like),
        "scipy eigsh on curvlinops": lambda: with_eigsh(peers.curvlinops_product(view), like),
        "hessian-eigenthings, Lanczos": lambda: with_eigenthings(view, steps),
        "hessian-eigenthings, power": lambda: with_power(view),
        "PyHessian": lambda: with_pyhessian(view),
    }
    actions: dict[str, Callable[[], object]] = {UNIT: gradient, BUILD: lambda: fresh(view)}
    actions |= {n: lambda n=n, m=m: found.update({n: m()}) for n, m in methods.items()}
    seconds = interleaved(actions, view.loss_value.device, rounds)
    # As many products as PyHessian's time allows, whatever the residual by then.
    theirs, ours, build = (
        in_units(seconds, name) for name in ("PyHessian", "normscope, cold", BUILD)
    )
    share = (theirs - build) / (ours - build)
    most = max(1, int(0.75 * share * found["normscope, cold"].products))
    last = {
        UNIT: gradient,
        WITHIN: lambda: found.update({WITHIN: with_lanczos(view, None, most, 1e-12)}),
    }
    seconds[WITHIN], again = [], interleaved(last, view.loss_value.device, rounds)
    for own, unit, first in zip(again[WITHIN], again[UNIT], seconds[UNIT], strict=True):
        seconds[WITHIN].append(own * first / unit)  # in the seconds of the first rounds
    return Race(seconds, found, truth(view))
