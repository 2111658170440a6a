"""What the tables measure: one `Measure` a column, its definition in words that can be printed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

When = Literal["early", "late", "loss"]

_WHEN: dict[When, tuple[str, str]] = {
    "early": ("early", "Mean over the probes of the first half of the planned steps."),
    "late": ("late", "Mean over the probes of the second half of the planned steps."),
    "loss": (
        "at matched loss",
        "At the first probe after the smoothed training loss fell to the block's level.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column of a table."""

    key: str
    title: str
    unit: str = ""
    digits: int = 3
    """Significant digits to print."""
    better: Literal["lower", "higher"] | None = None
    rescales: bool = False
    """Changes under w → c·w of weights before a normalizer, which changes no output."""
    definition: str
    contrast: Literal["ratio", "difference"] = "ratio"
    """How two normalizers are compared: by the ratio of positive values, or by the difference."""
    least: float = 0.0
    most: float = math.inf
    """Bounds of the quantity: no interval is printed beyond them."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """A measure that is read from probe records: a column of a record table, at a time."""

    record: str
    column: str
    when: When
    measure: Measure


def _probed(record: str, measure: Measure, *times: When) -> list[Probed]:
    """A quantity at some times; its key is its column in the record table."""
    return [
        Probed(
            record=record,
            column=measure.key,
            when=when,
            measure=replace(
                measure,
                key=f"{record}_{measure.key}_{when}",
                title=f"{measure.title}, {_WHEN[when][0]}",
                definition=f"{measure.definition} {_WHEN[when][1]}",
            ),
        )
        for when in times
    ]


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
    title="mean shift per ‖Δθ‖",
    rescales=True,
    definition="The mean shift of one update over the update's length ‖Δθ‖₂.",
)
_LOG_STD_PER_MOVE = replace(
    _LOG_STD_SHIFT,
    key="log_std_shift_per_update",
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

ICS = [
    *_probed("gradient_ics", _RELATIVE, "early"),
    *_probed("gradient_ics", _COSINE, "early"),
    *_probed("moment_ics", _MEAN_SHIFT, "early"),
    *_probed("moment_ics", _LOG_STD_SHIFT, "early"),
    *_probed("moment_ics", _MEAN_PER_MOVE, "early"),
    *_probed("moment_ics", _LOG_STD_PER_MOVE, "early"),
    *_probed("moment_ics", _DRIFT, "late"),
    *_probed("gradient_ics", _RELATIVE, "loss"),
    *_probed("gradient_ics", _COSINE, "loss"),
    *_probed("moment_ics", _MEAN_SHIFT, "loss"),
]

_ALONG = "over steps s along −∇L, s in the range tied to the learning rate"
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
    rescales=False,
    definition="The learning rate of the step times effective β: the scale-free form.",
)

SMOOTHNESS = [
    column
    for quantity in (_LOSS_RANGE, _PREDICTIVENESS, _LEAST_COSINE, _BETA, _SCALED_BETA)
    for column in _probed("landscape", quantity, "early", "late")
]

_SHARED = "at the learning rate with the best mean score over all normalizers of the block"

STEPS = Measure(
    key="steps_to_target",
    title="steps to target",
    unit="steps",
    better="lower",
    definition="Restricted mean: steps until the smoothed training loss is at the block's target, "
    "the planned number where it never is or the run diverged; at the tuned learning rate.",
)
FINAL_LOSS = Measure(
    key="final_train_loss",
    title="final training loss",
    better="lower",
    definition="Mean batch loss of the last 5 % of the steps, at the tuned learning rate; a "
    "diverged run counts with the largest first or final loss of any run of its block.",
)
ACCURACY = Measure(
    key="test_accuracy",
    title="test accuracy",
    unit="%",
    better="higher",
    contrast="difference",
    most=100.0,
    definition="Accuracy of the trained network on the test split, at the tuned learning rate; a "
    "diverged run counts as chance: the mean training accuracy of the data's untrained networks.",
)
STEPS_SHARED = replace(
    STEPS,
    key="steps_to_target_shared",
    title="steps to target, shared LR",
    definition=f"The same {_SHARED}.",
)
ACCURACY_SHARED = replace(
    ACCURACY,
    key="test_accuracy_shared",
    title="test accuracy, shared LR",
    definition=f"The same {_SHARED}.",
)
DIVERGED = Measure(
    key="divergence_rate",
    title="diverged",
    unit="%",
    better="lower",
    most=100.0,
    definition="Share of all runs, over all learning rates, whose loss was not finite or exploded; "
    "with Wilson's interval.",
)
STABLE_LR = Measure(
    key="largest_stable_lr",
    title="largest stable LR",
    better="higher",
    definition="The largest learning rate of the grid at which no seed diverged.",
)
STEPS_SPREAD = Measure(
    key="lr_spread_steps",
    title="LR sensitivity: steps",
    unit="steps",
    definition="Largest minus smallest, over the grid's learning rates, of the restricted mean "
    "steps to target. Small also where no learning rate works.",
)
ACCURACY_SPREAD = Measure(
    key="lr_spread_accuracy",
    title="LR sensitivity: accuracy",
    unit="points",
    most=100.0,
    definition="Largest minus smallest, over the grid's learning rates, of the mean test accuracy. "
    "Small also where no learning rate works.",
)
STEP_TIME = Measure(
    key="step_time_ratio",
    title="step time",
    unit="× reference",
    better="lower",
    definition="Wall time of a training step, probes and evaluation not counted, over the "
    "reference normalizer's: Hodges–Lehmann ratio of pairs.",
)
MEMORY = Measure(
    key="memory_ratio",
    title="peak memory",
    unit="× reference",
    better="lower",
    definition="Peak of the device's allocated memory over the reference normalizer's: "
    "Hodges–Lehmann ratio of pairs.",
)
