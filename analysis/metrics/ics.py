"""Table 1: internal covariate shift in both its senses, and the noise beside it."""

from __future__ import annotations

from dataclasses import replace

from analysis.metrics.metric import Measure, When, probed

_RELATIVE = Measure(
    key="relative",
    title="gradient ICS ‖G−G′‖/‖G‖",
    better="lower",
    definition="‖G_i−G′_i‖₂/‖G_i‖₂ of Definition 2.1 (Santurkar et al. 2018): how far a layer's "
    "gradient moves when the layers before it take their step; median over layers i ≥ 2.",
)
_COSINE = Measure(
    key="cosine",
    title="gradient ICS cos(G, G′)",
    better="higher",
    contrast="difference",
    least=-1.0,
    most=1.0,
    definition="Cosine of the same two gradients; median over layers i ≥ 2.",
)
_TURN = Measure(
    key="turn",
    title="gradient ICS, turn",
    better="lower",
    definition="1 − cos(G, G′), one minus the cosine of the same two gradients: how far the shift "
    "turns them. Where the cosines of all normalizers are near one their ratios still differ. "
    "Median over layers i ≥ 2.",
)
_MEAN_SHIFT = Measure(
    key="mean_shift",
    title="mean shift |Δμ|/σ per update",
    better="lower",
    definition="|Δμ|/σ of a unit's pre-activations on a fixed batch in one update, mean over "
    "units, median over layers.",
)
_LOG_STD_SHIFT = Measure(
    key="log_std_shift",
    title="scale shift |Δlog σ| per update",
    better="lower",
    definition="|Δlog σ| of a unit's pre-activations on a fixed batch in one update, mean over "
    "units, median over layers.",
)
_MEAN_PER_MOVE = replace(
    _MEAN_SHIFT,
    key="mean_shift_per_update",
    name="mean_shift_per_dtheta_norm",
    title="mean shift per ‖Δθ‖",
    rescales=True,
    definition="The mean shift of one update over the update's length ‖Δθ‖₂.",
)
_LOG_STD_PER_MOVE = replace(
    _LOG_STD_SHIFT,
    key="log_std_shift_per_update",
    name="log_std_shift_per_dtheta_norm",
    title="scale shift per ‖Δθ‖",
    rescales=True,
    definition="The scale shift of one update over the update's length ‖Δθ‖₂.",
)
_DRIFT = Measure(
    key="mean_drift",
    title="mean drift since t = 0",
    unit="initial σ",
    better="lower",
    definition="|μ_t−μ_0|/σ_0 of a unit's pre-activations on a fixed batch, mean over units, "
    "median over layers.",
)

_OUTPUT = (
    "what a weight layer puts out, before its normalizer, on a fixed batch in one update, mean "
    "over units, median over layers."
)
_OUTPUT_MEAN = replace(
    _MEAN_SHIFT,
    title="mean shift |Δμ|/σ before the normalizer",
    definition=f"|Δμ|/σ of a unit of {_OUTPUT}",
)
_OUTPUT_LOG_STD = replace(
    _LOG_STD_SHIFT,
    title="scale shift |Δlog σ| before the normalizer",
    definition=f"|Δlog σ| of a unit of {_OUTPUT}",
)
_W1 = Measure(
    key="w1",
    title="W₁ per update",
    unit="σ",
    better="lower",
    definition="Wasserstein-1 distance between a unit's pre-activations before and after one "
    "update, on the same batch, in units of σ before; mean over units, median over layers.",
)
_W1_OUTPUT = replace(
    _W1,
    title="W₁ per update before the normalizer",
    definition="The same distance for what a weight layer puts out, before its normalizer.",
)
_W1_FLOOR = replace(
    _W1,
    key="w1_floor",
    title="W₁ between batches",
    better=None,
    definition="The noise floor of W₁: the same distance between two batches under the same "
    "weights. A W₁ per update below it is smaller than what sampling a batch does.",
)
_NOISE = Measure(
    key="relative",
    title="gradient noise ‖g_B−g_B′‖/‖g‖",
    definition="The noise floor of gradient ICS: the same relative distance between a layer's "
    "gradients of two independent batches under the same weights; median over layers. Of each "
    "layer's weight alone, as gradient ICS is: γ, β and biases are not in it.",
)
_LOWER = Measure(
    key="share",
    title="cross-layer share of the Hessian",
    definition="‖H_{i,<i}g_{<i}‖/‖(Hg)_i‖: how much of the change of layer i's gradient along g "
    "comes from the layers before it, which to first order is gradient ICS; median over layers.",
)

_EACH: tuple[When, ...] = ("early", "late", "loss")
ICS = [
    *probed("gradient_ics", _RELATIVE, "early"),
    *probed("gradient_ics", _COSINE, "early"),
    *probed("gradient_ics", _TURN, *_EACH),
    *probed("gradient_noise", _NOISE, "early"),
    *probed("cross_layer", _LOWER, "early"),
    *probed("moment_ics", _MEAN_SHIFT, *_EACH),
    *probed("moment_ics", _LOG_STD_SHIFT, *_EACH),
    *probed("moment_ics", _MEAN_PER_MOVE, "early"),
    *probed("moment_ics", _LOG_STD_PER_MOVE, "early"),
    *probed("moment_ics", _DRIFT, "late"),
    *probed("moment_output", _OUTPUT_MEAN, *_EACH),
    *probed("moment_output", _OUTPUT_LOG_STD, *_EACH),
    *probed("distribution_ics", _W1, "early", "loss"),
    *probed("distribution_output", _W1_OUTPUT, *_EACH),
    *probed("distribution_ics", _W1_FLOOR, "early"),
    *probed("gradient_ics", _RELATIVE, "late", "loss"),
    *probed("gradient_ics", _COSINE, "loss"),
]
