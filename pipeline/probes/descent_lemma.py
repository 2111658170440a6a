"""How well the loss's quadratic model predicts what a step does to it."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.probes._hessian import hessian_of, hessian_times_gradient
from pipeline.probes._vectors import flat, norm, safe_divide
from pipeline.probes._view import Records, View


def descent_lemma(view: View) -> Records:
    """The change of the loss that gradient and Hessian predict for the step, and the real one.

    With Δθ = θ_{t+1} − θ_t, the update as the optimizer made it, g and H the gradient and the
    Hessian of the loss in all parameters at θ_t, on one batch, ĝ = g/‖g‖, η the learning rate:

        predicted               ⟨g, Δθ⟩ + ½·ΔθᵀHΔθ; for plain gradient descent, Δθ = −η·g, this is
                                −η‖g‖²·(1 − ½·η·ĝᵀHĝ)
        predicted_first_order   ⟨g, Δθ⟩
        realised                L(θ_{t+1}) − L(θ_t), on the same batch and under the same noise
        ratio                   realised / predicted: 1 for a quadratic loss
        gradient_curvature      ĝᵀHĝ
        eta_gradient_curvature  η·ĝᵀHĝ: above 2, a plain step raises the quadratic model's loss

    Units: those of the loss; of loss over squared parameters; the last is a number. For a
    normalizer whose backward is not the gradient of its forward, what needs H is null.

    Cost: one forward pass and two Hessian-vector products, of which that with g, and the graph
    (about a gradient), are shared with the step's other probes.

    Source: the descent lemma; as a question about normalization, Santurkar et al., NeurIPS 2018,
    section 3 ("gradient predictiveness").
    """
    gradient = flat([view.grad[name] for name in view.before])
    update = flat([view.after[name] - view.before[name] for name in view.before])
    with torch.no_grad():
        realised = (view.loss(view.after, view.batch).double() - view.loss_value.double())[None]
    linear = _inner(gradient, update)
    nothing = torch.full_like(linear, torch.nan)
    quadratic, curvature = nothing, nothing
    if view.traits.true_gradient:
        quadratic = _inner(update, hessian_of(view)(update))
        squared = norm(gradient).square()
        curvature = safe_divide(_inner(gradient, hessian_times_gradient(view)), squared)
    predicted = linear + quadratic / 2
    return {
        "predicted": predicted,
        "predicted_first_order": linear,
        "realised": realised,
        "ratio": safe_divide(realised, predicted),
        "gradient_curvature": curvature,
        "eta_gradient_curvature": view.lr * curvature,
    }


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩ (1), summed in float64."""
    return (a * b).sum(dtype=torch.float64)[None]
