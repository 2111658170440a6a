"""Table 2: smoothness of the loss along the gradient and by its Hessian, with scale-free forms."""

from __future__ import annotations

import math
from dataclasses import replace

from analysis.metrics.metric import Measure, probed

_ALONG = "over steps s along −∇L, s in the range tied to the learning rate"
_ABSOLUTE_RANGE = Measure(
    key="loss_range",
    title="loss range",
    unit="nats",
    better="lower",
    definition=f"max L − min L {_ALONG}: Figure 4a of Santurkar et al. (2018). In nats; in a "
    "regression in units of the summed squared error.",
)
_LOSS_RANGE = Measure(
    key="loss_range_relative",
    title="loss range / loss",
    better="lower",
    definition=f"(max L − min L)/L(θ) {_ALONG}.",
)
_PREDICTIVENESS = Measure(
    key="gradient_difference_relative",
    title="gradient change ‖Δ∇L‖/‖∇L‖",
    better="lower",
    definition=f"Predictiveness: max ‖∇L(θ−s∇L)−∇L(θ)‖₂/‖∇L(θ)‖₂ {_ALONG}.",
)
_LEAST_COSINE = Measure(
    key="cosine_min",
    title="least gradient cosine",
    better="higher",
    contrast="difference",
    least=-1.0,
    most=1.0,
    definition=f"min cos(∇L(θ−s∇L), ∇L(θ)) {_ALONG}.",
)
_BETA = Measure(
    key="effective_beta",
    title="effective β",
    better="lower",
    rescales=True,
    definition=f"max ‖∇L(θ−s∇L)−∇L(θ)‖₂/‖s∇L‖₂ {_ALONG}.",
)
_SCALED_BETA = replace(
    _BETA,
    key="scaled_beta",
    title="η·β",
    definition="The learning rate of the step times effective β. At one learning rate two "
    "normalizers have the same ratio of η·β as of β, so it is no comparison of its own.",
)

_RANDOM = "over steps along filter-normalized random directions"
_RANDOM_RANGE = replace(
    _LOSS_RANGE,
    title="loss range / loss, random directions",
    definition=f"(max L − min L)/L(θ) {_RANDOM}.",
)
_RANDOM_PREDICTIVENESS = replace(
    _PREDICTIVENESS,
    title="gradient change, random directions",
    definition=f"max ‖∇L(θ+sd)−∇L(θ)‖₂/‖∇L(θ)‖₂ {_RANDOM}.",
)

_UPDATE = (
    "over steps s along d = −Δθ/η, Δθ being the step as the optimizer made it, s in the range tied "
    "to the learning rate"
)
_UPDATE_RANGE = replace(
    _LOSS_RANGE,
    title="loss range / loss, along the update",
    definition=f"(max L − min L)/L(θ) {_UPDATE}.",
)
_UPDATE_PREDICTIVENESS = replace(
    _PREDICTIVENESS,
    title="gradient change, along the update",
    definition=f"max ‖∇L(θ−sd)−∇L(θ)‖₂/‖∇L(θ)‖₂ {_UPDATE}.",
)
_UPDATE_BETA = replace(
    _BETA,
    title="effective β, along the update",
    definition=f"max ‖∇L(θ−sd)−∇L(θ)‖₂/‖sd‖₂ {_UPDATE}.",
)
_LAMBDA_MAX = Measure(
    key="lambda_max",
    title="λ_max",
    better="lower",
    rescales=True,
    contrast="ratio",
    least=-math.inf,
    definition="Largest (algebraic) eigenvalue of the loss's Hessian on the step's batch, by "
    "Lanczos; from below where that did not converge.",
)
_TRACE = Measure(
    key="trace",
    title="tr H",
    better="lower",
    rescales=True,
    contrast="difference",
    least=-math.inf,
    definition="Trace of the same Hessian, Hutchinson's estimate.",
)
_ALONG_G = Measure(
    key="gradient_curvature",
    title="ĝᵀHĝ",
    better="lower",
    rescales=True,
    contrast="difference",
    least=-math.inf,
    definition="Curvature along the normalized gradient ĝ, by a Hessian-vector product.",
)
_ETA_LAMBDA = Measure(
    key="eta_lambda_max",
    title="η·λ_max",
    better="lower",
    rescales=True,
    least=-math.inf,
    definition="The learning rate of the step times λ_max; above 2 gradient descent on the "
    "quadratic model is unstable. At one learning rate its ratio is that of λ_max.",
)
_SCALED_BLOCK = Measure(
    key="weight_squared_times_lambda",
    title="‖w‖²·λ of a layer",
    better="lower",
    least=-math.inf,
    definition="Squared norm of a layer's weight times λ_max of its own block of the Hessian, "
    "scale-free; median over layers.",
)
_ANGLE = Measure(
    key="angular_update",
    title="angular update",
    unit="rad",
    definition="Angle between a layer's weight before and after the update; median over layers. "
    "All of the update that counts where a normalizer makes the output blind to the weight's norm.",
)
_GAP = Measure(
    key="gap_41",
    title="gap of theorem 4.1",
    definition="|left − right|/|left| of theorem 4.1's equality in the realised network; median "
    "over batch normalization layers.",
)
_GAP_42 = replace(
    _GAP,
    key="gap_42",
    title="gap of theorem 4.2",
    definition="|left − right|/|left| of theorem 4.2's equality in the realised network; median "
    "over batch normalization layers.",
)

_PHASED = (_ABSOLUTE_RANGE, _LOSS_RANGE, _PREDICTIVENESS, _BETA)
_TWICE = (_LEAST_COSINE, _SCALED_BETA)
_UPDATED = (_UPDATE_RANGE, _UPDATE_PREDICTIVENESS, _UPDATE_BETA)
SMOOTHNESS = [
    *(c for own in _PHASED for c in probed("landscape", own, "early", "late", "loss")),
    *(c for own in _TWICE for c in probed("landscape", own, "early", "late")),
    *probed("landscape_random", _RANDOM_RANGE, "early", "late", "loss"),
    *probed("landscape_random", _RANDOM_PREDICTIVENESS, "early", "late", "loss"),
    *(c for own in _UPDATED for c in probed("landscape_update", own, "early", "late", "loss")),
    *probed("curvature", _LAMBDA_MAX, "early", "late", "loss"),
    *probed("curvature", _TRACE, "early", "late"),
    *probed("curvature", _ALONG_G, "early", "late"),
    *probed("curvature", _ETA_LAMBDA, "early", "late"),
    *probed("scale_invariant", _SCALED_BLOCK, "early", "late", "loss"),
    *probed("scale_invariant", _ANGLE, "early", "late"),
]
TWINS = ("landscape_scaled_beta_early", "curvature_eta_lambda_max_early")
"""Measures that order normalizers at one learning rate exactly as β and λ_max do."""
THEORY = [
    *probed("batchnorm_theorems", _GAP, "early"),
    *probed("batchnorm_theorems", _GAP_42, "early"),
]
