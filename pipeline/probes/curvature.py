"""The loss's curvature: both ends of the Hessian's spectrum, along the gradient, and the trace."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from pipeline.catalog.option_types import AtLeastOne, Positive
from pipeline.data._transfer import send
from pipeline.probes._hessian import Product, hessian_of, hessian_times_gradient
from pipeline.probes._lanczos import LARGEST, SMALLEST, lanczos, start_vector
from pipeline.probes._layers import parameters_by_layer
from pipeline.probes._vectors import flat, norm, safe_divide
from pipeline.probes._view import Records, View

_COLUMNS = (
    "lambda_max",
    "lambda_max_residual",
    "lambda_min",
    "lambda_min_residual",
    "converged",
    "gradient_curvature",
    "hessian_gradient_norm",
    "trace",
    "trace_error",
    "eta_lambda_max",
    "hvps",
)


def curvature(
    view: View,
    *,
    tolerance: Positive = 1e-3,
    products: AtLeastOne = 40,
    ends: Literal["largest", "both"] = "largest",
    trace_samples: int = 4,
    parameters: Literal["weights", "all"] = "all",
) -> Records:
    """Eigenvalues, gradient curvature and trace of the Hessian H of the loss at θ_t on the batch.

    With ĝ = g/‖g‖ the direction of the view's gradient and η the learning rate, records

        lambda_max, lambda_min   the largest and the smallest (algebraic) eigenvalue, by Lanczos
        …_residual               ‖H·u − λ·u‖ / |λ| of each, its certificate: an eigenvalue lies
                                 within that relative distance
        converged                1 if the residuals asked for are within ``tolerance``, else 0
        gradient_curvature       ĝᵀHĝ, and hessian_gradient_norm ‖H·ĝ‖
        trace, trace_error       Hutchinson's estimate: mean of zᵀHz over random signs z, and its
                                 standard error
        eta_lambda_max           η·λ_max; plain gradient descent on a quadratic diverges above 2,
                                 other optimizers elsewhere
        hvps                     Hessian-vector products taken

    λ_min is what the products for λ_max leave of it, not below the true one, unless ``ends`` asks
    for both. The eigenvalues are those with a part in the start: the gradient, the eigenvector
    found at the last step (a warm start), and chance. Units: loss over squared parameters. A
    weight-scale invariant network's H shrinks as its weights grow; see `scale_invariant`.

    Everything is null for a normalizer whose backward is not the gradient of its forward.

    Cost: the graph of the gradient (about 1 gradient), then about 2 gradients a product: with the
    defaults 5, and some 8 to 20 for λ_max; both ends take 20 to 60. Memory: that graph, and up to
    products + 1 vectors. Products with g and the graph are shared with the step's other probes.

    Args:
        view: the step.
        tolerance: relative residual at which the eigenvalues are done.
        products: most products for the eigenvalues.
        ends: which eigenvalues must reach the tolerance.
        trace_samples: random vectors of the trace; none: null, one: no error.
        parameters: the coordinates of H; ``weights`` holds all else at θ_t.

    Raises:
        ValueError: if trace_samples is negative.

    Source: Lanczos (1950); Hutchinson, Commun. Stat. Simul. 19 (1990); for networks Yao, Gholami,
    Keutzer & Mahoney (PyHessian, 2020), Cohen et al., ICLR 2021 (η·λ_max against 2).
    """
    if trace_samples < 0:
        raise ValueError(f"curvature.trace_samples must be at least 0, not {trace_samples}")
    if not view.traits.true_gradient:
        return {name: [math.nan] for name in _COLUMNS}
    layers = parameters_by_layer(view.network)
    names = [*view.before] if parameters == "all" else [n for x in layers for n in x.weight]
    product = hessian_of(view).block(names, names)
    gradient = flat([view.grad[name] for name in names])
    along = hessian_times_gradient(view) if parameters == "all" else product(gradient)
    wanted = (LARGEST,) if ends == "largest" else (LARGEST, SMALLEST)
    start = start_vector(gradient, view.memory.get("vectors"), view.rng)
    found = lanczos(product, start, tolerance=tolerance, products=products, ends=wanted)
    view.memory["vectors"] = found.vectors[: len(wanted)]
    if parameters == "all":
        view.shared["lambda_max"] = found.values[LARGEST]
    trace, error = _trace(product, gradient, trace_samples, view.rng)
    values, residuals = found.values[:, None], found.residuals[:, None]
    slope = norm(gradient)[None]
    return {
        "lambda_max": values[LARGEST],
        "lambda_max_residual": residuals[LARGEST],
        "lambda_min": values[SMALLEST],
        "lambda_min_residual": residuals[SMALLEST],
        "converged": [int(found.converged)],
        "gradient_curvature": safe_divide(_inner(gradient, along)[None], slope.square()),
        "hessian_gradient_norm": safe_divide(norm(along)[None], slope),
        "trace": trace[None],
        "trace_error": error[None],
        "eta_lambda_max": view.lr * values[LARGEST],
        "hvps": [1 + found.products + trace_samples],
    }


def _trace(
    product: Product, like: Tensor, samples: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Hutchinson's estimate and its standard error; NaN without samples."""
    values = [like.new_full((), math.nan, dtype=torch.float64)] * (0 if samples else 2)
    for _ in range(samples):
        drawn = torch.randint(2, like.shape, generator=rng).to(like.dtype) * 2 - 1
        signs = send(drawn, like.device)
        values.append(_inner(signs, product(signs)))
    found = torch.stack(values)
    squares = (found - found.mean()).square().sum()
    # Of one sample 0/0: its error is not known.
    return found.mean(), (squares / (len(values) - 1 or math.nan) / len(values)).sqrt()


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩, summed in float64."""
    return (a * b).sum(dtype=torch.float64)
