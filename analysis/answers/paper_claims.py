"""C1–C12: what Santurkar et al. (2018) claim of batch normalization."""

from __future__ import annotations

from dataclasses import replace

from analysis.answers import dead, theorems
from analysis.answers.comparison import EVERY_PHASE, Comparison, Side
from analysis.answers.evidence import Block, Evidence
from analysis.answers.question import BY_INTERVAL, BY_PHASE, Question, ask
from analysis.text import Answer

ALMOST = 5.0
"""Points of accuracy within which one trains as well as another."""
ALMOST_LOSS = 0.05
"""Share of the loss at chance within which one trains as well as another."""
ALMOST_STEPS = 1.5
"""Ratio of steps to the target within which one trains as fast as another."""
HARDLY = 0.5
"""A speed of the moments that is not below half of another's is hardly more stable."""
SIMILAR = 0.8
"""A shift that is not below this share of another's is similar or larger."""

ICS, TURN = "gradient_ics_relative", "gradient_ics_turn"
ABSOLUTE_RANGE, RANGE = "landscape_loss_range", "landscape_loss_range_relative"
CHANGE, BETA = "landscape_gradient_difference_relative", "landscape_effective_beta"
SCALE_FREE = "scale_invariant_weight_squared_times_lambda"
OUTPUT, DISTANCE = "moment_output_mean_shift", "distribution_output_w1"
"""Stems of probed measures: their keys end in a phase."""
STEPS, ACCURACY = "steps_to_target", "test_accuracy"
TRAIN_ACCURACY, LOSS_SHARE = "train_accuracy", "final_loss_share"
OUTCOMES = (STEPS, "steps_to_target_shared", ACCURACY, TRAIN_ACCURACY, LOSS_SHARE)


def early(stem: str) -> str:
    """The key of a probed measure early in the run."""
    return f"{stem}_early"


def compare(
    measure: str, subject: str, reference: str, side: Side, limit: float | None = None
) -> Comparison:
    """A comparison; probed measures are asked in every phase, at every rate."""
    return Comparison(
        measure=measure,
        subject=subject,
        reference=reference,
        side=side,
        limit=limit,
        phases=() if measure in OUTCOMES else EVERY_PHASE,
    )


def batch(measure: str, side: Side, limit: float | None = None) -> Comparison:
    """Batch against none."""
    return compare(measure, "batch", "none", side, limit)


def half(part: str, *comparisons: Comparison) -> tuple[Comparison, ...]:
    """Comparisons that are one half of a claim: it has a verdict of its own."""
    return tuple(replace(comparison, part=part) for comparison in comparisons)


def trains_as_well(name: str) -> tuple[Comparison, ...]:
    """A normalizer against batch in training: accuracy, loss, and steps to the target."""
    return (
        compare(TRAIN_ACCURACY, name, "batch", "above", -ALMOST),
        compare(LOSS_SHARE, name, "batch", "below", ALMOST_LOSS),
        compare(STEPS, name, "batch", "below", ALMOST_STEPS),
    )


def is_linear(block: Block) -> bool:
    """Whether a block is a deep linear network."""
    return block.labels["architecture"].startswith("deep_linear")


def linear(measure: str) -> Comparison:
    """Batch below none in deep linear networks."""
    return replace(batch(measure, "below"), where=is_linear, scope="deep_linear")


_AS_WELL = (
    f"{BY_INTERVAL} Limits against batch: training accuracy five points lower, final loss five "
    "hundredths of the loss at chance higher, one and a half times the steps to the target."
)
_LP = ("l1", "l2", "linf")
QUESTIONS = (
    Question(
        key="C2",
        text="Yet its activation distributions are hardly more stable.",
        comparisons=(
            *half("moments", batch(OUTPUT, "above", HARDLY)),
            *half("distributions", batch(DISTANCE, "above", HARDLY)),
        ),
        rule=f"{BY_PHASE} Limit: half of the speed of none.",
    ),
    Question(
        key="C3",
        text="Noisy batch normalization trains nearly as well as batch, with distributions less "
        "stable than those of none.",
        comparisons=(
            *half("trains nearly as well", *trains_as_well("noisy_batch")),
            *half("less stable", compare(OUTPUT, "noisy_batch", "none", "above")),
        ),
        rule=f"Training. {_AS_WELL} Stability. {BY_PHASE}",
    ),
    Question(
        key="C5",
        text="Gradient ICS with batch normalization is similar or larger.",
        comparisons=(
            *half("size", batch(ICS, "above", SIMILAR)),
            *half("direction", batch(TURN, "above", SIMILAR)),
        ),
        rule=f"{BY_PHASE} Limit: four fifths of the shift of none, in size (‖G−G′‖/‖G‖) and in "
        "direction (one minus the cosine of G and G′).",
    ),
    Question(
        key="C6",
        text="The range of the loss along the gradient is narrower with batch normalization.",
        comparisons=(
            *half("in nats", batch(ABSOLUTE_RANGE, "below")),
            *half("relative to the loss", batch(RANGE, "below")),
        ),
    ),
    Question(
        key="C7",
        text="Its gradients are more predictive.",
        comparisons=(batch(CHANGE, "below"),),
    ),
    Question(
        key="C8",
        text="Its effective β is smaller.",
        comparisons=(
            *half("effective β", batch(BETA, "below")),
            *half("free of scale", batch(SCALE_FREE, "below")),
        ),
        rule=f"{BY_PHASE} At one learning rate η·β has the ratio of β and is no comparison of its "
        "own; free of the scale of the weights is ‖w‖²·λ of a layer.",
    ),
    Question(
        key="C9",
        text="This holds in deep linear networks and along random directions too.",
        comparisons=(
            *half("deep linear networks", linear(ABSOLUTE_RANGE), linear(CHANGE)),
            *half(
                "random directions",
                batch("landscape_random_loss_range_relative", "below"),
                batch("landscape_random_gradient_difference_relative", "below"),
            ),
        ),
    ),
    Question(
        key="C10",
        text="L1, L2 and L∞ normalization train as well as batch and smooth as well, with more "
        "distribution shift than none.",
        comparisons=(
            *half("train as well", *(c for name in _LP for c in trains_as_well(name))),
            *half(
                "smooth",
                *(compare(m, name, "none", "below") for name in _LP for m in (RANGE, CHANGE)),
            ),
            *half("shift more", *(compare(OUTPUT, name, "none", "above") for name in _LP)),
        ),
        rule=f"Training. {_AS_WELL} Smoothness and shift. {BY_PHASE}",
    ),
)


def build(evidence: Evidence) -> list[Answer]:
    """The paper's claims, in its order."""
    asked = {question.key: ask(question, evidence) for question in QUESTIONS}
    asked |= {"C1": _faster(evidence), "C4": _noise(evidence)}
    asked |= {"C11": dead.larger_rates(evidence), "C12": theorems.hold(evidence)}
    return [asked[f"C{i}"] for i in range(1, 13)]


def _faster(evidence: Evidence) -> Answer:
    question = Question(
        key="C1",
        text="Batch normalization trains faster, and at learning rates where none fails.",
        comparisons=half("faster", batch(STEPS, "below"), batch("steps_to_target_shared", "below")),
        rule=f"Faster. {BY_INTERVAL} Rates at which none fails. {dead.FAILS}",
    )
    return ask(question, evidence, dead.where_none_fails(evidence))


def _noise(evidence: Evidence) -> Answer:
    question = Question(
        key="C4",
        text="The same noise without batch normalization prevents training.",
        comparisons=half(
            "trains worse than batch",
            compare(TRAIN_ACCURACY, "noise", "batch", "below", -ALMOST),
            compare(LOSS_SHARE, "noise", "batch", "above", ALMOST_LOSS),
            compare(STEPS, "noise", "batch", "above", ALMOST_STEPS),
        ),
        rule=f"Prevents: as claimed if the interval of the share of runs that reach the target is "
        f"below a half. Worse. {_AS_WELL}",
    )
    return ask(question, evidence, dead.reaching(evidence, "noise"))
