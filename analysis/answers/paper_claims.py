"""C1–C12: what Santurkar et al. (2018) claim of batch normalization."""

from __future__ import annotations

import math

from analysis.answers.comparison import Comparison, Finding
from analysis.answers.evidence import Block, Evidence, estimate
from analysis.answers.question import BY_INTERVAL, Question, answer, ask
from analysis.statistics import estimates as stats
from analysis.statistics.estimates import Estimate
from analysis.text.sentences import Answer, Claim, Label, Sentence, State, count

ALMOST = 5.0
"""Points of accuracy within which one trains as well as another."""
HARDLY = 0.5
"""A speed of the moments that is not below half of another's is hardly more stable."""
SIMILAR = 0.8
"""A shift that is not below this share of another's is similar or larger."""
EQUAL = 1e-2
"""Relative gap up to which a theorem's two sides are equal: float32 and ε > 0 leave some."""

ICS, COSINE = "gradient_ics_relative_early", "gradient_ics_cosine_early"
RANGE, CHANGE = (
    "landscape_loss_range_relative_early",
    "landscape_gradient_difference_relative_early",
)
BETA, SCALED_BETA = "landscape_effective_beta_early", "landscape_scaled_beta_early"
OUTPUT = "moment_output_mean_shift_early"
STEPS, ACCURACY = "steps_to_target", "test_accuracy"


def compare(
    measure: str, subject: str, reference: str, side: str, limit: float | None = None
) -> Comparison:
    """A comparison; those of outcomes are not void on a plateau."""
    return Comparison(
        measure=measure,
        subject=subject,
        reference=reference,
        side="above" if side == "above" else "below",
        limit=limit,
        plateau=measure not in (STEPS, ACCURACY),
    )


def batch(measure: str, side: str, limit: float | None = None) -> Comparison:
    """Batch against none."""
    return compare(measure, "batch", "none", side, limit)


def is_linear(block: Block) -> bool:
    """Whether a block is a deep linear network."""
    return block.labels["architecture"].startswith("deep_linear")


def linear(measure: str) -> Comparison:
    """Batch below none in deep linear networks."""
    own = vars(batch(measure, "below"))
    return Comparison(**{**own, "where": is_linear, "scope": "deep_linear"})


_LP = ("l1", "l2", "linf")
QUESTIONS = (
    Question(
        key="C1",
        text="Batch normalization trains faster, and at learning rates where none fails.",
        comparisons=(batch(STEPS, "below"), batch("steps_to_target_shared", "below")),
    ),
    Question(
        key="C2",
        text="Yet its activation distributions are hardly more stable.",
        comparisons=(
            batch(OUTPUT, "above", HARDLY),
            batch("distribution_output_w1_early", "above", HARDLY),
        ),
        rule=f"{BY_INTERVAL} Limit: half of the speed of none.",
    ),
    Question(
        key="C3",
        text="Noisy batch normalization trains nearly as well as batch, with distributions less "
        "stable than those of none.",
        comparisons=(
            compare(ACCURACY, "noisy_batch", "batch", "above", -ALMOST),
            compare(STEPS, "noisy_batch", "none", "below"),
            compare(OUTPUT, "noisy_batch", "none", "above"),
        ),
        rule=f"{BY_INTERVAL} Limit of accuracy: five points.",
    ),
    Question(
        key="C5",
        text="Gradient ICS with batch normalization is similar or larger.",
        comparisons=(batch(ICS, "above", SIMILAR), batch(COSINE, "below", 1 - SIMILAR)),
        rule=f"{BY_INTERVAL} Limit: four fifths of the shift of none; of the cosine, one fifth "
        "above that of none.",
    ),
    Question(
        key="C6",
        text="The range of the loss along the gradient is narrower with batch normalization.",
        comparisons=(batch(RANGE, "below"),),
    ),
    Question(
        key="C7",
        text="Its gradients are more predictive.",
        comparisons=(batch(CHANGE, "below"),),
    ),
    Question(
        key="C8",
        text="Its effective β is smaller.",
        comparisons=(batch(BETA, "below"), batch(SCALED_BETA, "below")),
        rule=f"{BY_INTERVAL} The second form is free of the scale of the weights.",
    ),
    Question(
        key="C9",
        text="This holds in deep linear networks and along random directions too.",
        comparisons=(
            linear(RANGE),
            linear(CHANGE),
            batch("landscape_random_loss_range_relative_early", "below"),
            batch("landscape_random_gradient_difference_relative_early", "below"),
        ),
    ),
    Question(
        key="C10",
        text="L1, L2 and L∞ normalization train as well as batch and smooth as well, with more "
        "distribution shift than none.",
        comparisons=tuple(
            comparison
            for name in _LP
            for comparison in (
                compare(ACCURACY, name, "batch", "above", -ALMOST),
                compare(RANGE, name, "none", "below"),
                compare(CHANGE, name, "none", "below"),
                compare(OUTPUT, name, "none", "above"),
            )
        ),
        rule=f"{BY_INTERVAL} Limit of accuracy: five points.",
    ),
)


def build(evidence: Evidence) -> list[Answer]:
    """The paper's claims, in its order."""
    asked = {question.key: ask(question, evidence) for question in QUESTIONS}
    asked |= {"C4": _noise(evidence), "C11": _stable(evidence), "C12": _theorems(evidence)}
    return [asked[f"C{i}"] for i in range(1, 13)]


def _noise(evidence: Evidence) -> Answer:
    rule = "As claimed if the interval of the share of runs that reach the target is below a half."
    label = evidence.label("noise")
    text = "The same noise without batch normalization prevents training."
    if label is None:
        said = Claim(("not estimable: the study has no ", Label("noise")))
        return answer("C4", text, rule, [Finding(state="not estimable", claim=said)], "")
    found = [_reaching(block, label) for block in evidence.blocks if len(block.of(label))]
    return answer("C4", text, rule, found, "table3_training")


def _reaching(block: Block, label: str) -> Finding:
    runs = block.of(label)
    if runs["level"].isna().all():
        reason = Claim((Label(block.name), ": not estimable: no run of the block trained"))
        return Finding(state="not estimable", claim=reason)
    reached = int((runs["reached"].notna() & (runs["status"] == "ok")).sum())
    share = stats.wilson(reached, len(runs))
    state: State = "open"
    if share.high < 0.5 or share.low > 0.5:
        state = "supported" if share.high < 0.5 else "contradicted"
    stem = f"answers/C4/{block.name}"
    said: Sentence = (
        Label(block.name),
        ": ",
        count(f"{stem}/reached", reached),
        " of ",
        count(f"{stem}/runs", len(runs)),
        " runs of ",
        Label(label),
        " reach the target, a share of ",
        *estimate(f"{stem}/share", share[:3], 2),
    )
    return Finding(state=state, claim=Claim(said), effect=share.estimate)


def _stable(evidence: Evidence) -> Answer:
    rule = (
        "As claimed if the largest learning rate of the grid without a divergence is larger for "
        "batch, against it if smaller; it has no interval. Equal ones, at the top of the grid "
        "above all, decide nothing."
    )
    text = "Batch normalization admits larger learning rates."
    found = [_rates(block, evidence) for block in evidence.blocks]
    return answer("C11", text, rule, found, "table3_training")


def _rates(block: Block, evidence: Evidence) -> Finding:
    names = [evidence.label("batch"), evidence.label("none")]
    known = [name for name in names if name is not None and len(block.of(name))]
    if len(known) < 2 or evidence.measure("largest_stable_lr") is None:
        reason = Claim((Label(block.name), ": not estimable: it needs runs of batch and of none"))
        return Finding(state="not estimable", claim=reason)
    one, other = (evidence.cell("largest_stable_lr", block, name).estimate for name in known)
    one, other = (0.0 if math.isnan(value) else value for value in (one, other))
    state: State = "supported" if one > other else "contradicted" if one < other else "open"
    stem = f"answers/C11/{block.name}"
    said: Sentence = (Label(block.name), ": largest stable learning rate ")
    for name, value in zip(known, (one, other), strict=True):
        unknown = Estimate(value, math.nan, math.nan, 0)
        number = estimate(f"{stem}/{name}", unknown[:3], 3) if value else ("none",)
        said = (*said, *(", " if name == known[1] else "",), *number, " with ", Label(name))
    top = float(block.runs["lr"].max())
    grid = estimate(f"{stem}/top", (top, math.nan, math.nan), 3)
    return Finding(state=state, claim=Claim((*said, "; the grid ends at ", *grid)))


def _theorems(evidence: Evidence) -> Answer:
    rule = "As claimed if the median relative gap of the theorem's two sides is below one per cent."
    text = "The theorems on the layer's gradient and curvature hold on real activations."
    found = [
        finding
        for block in evidence.blocks
        for key, name in (("gap_41", "gradient"), ("gap_42", "curvature"))
        for finding in _gap(block, evidence, key, name)
    ]
    if not found:
        said = Claim(("not estimable: no run recorded theory (it needs batch normalization)",))
        found = [Finding(state="not estimable", claim=said)]
    return answer("C12", text, rule, found, "")


def _gap(block: Block, evidence: Evidence, column: str, name: str) -> list[Finding]:
    view = evidence.basis.probes["theory"]
    if column not in view:
        return []
    own = view[view["cell_id"].astype(str).isin(block.runs["cell_id"])][column].dropna().abs()
    if own.empty:
        return []
    stem = f"answers/C12/{block.name}/{column}"
    middle, largest = float(own.median()), float(own.max())
    said: Sentence = (
        Label(block.name),
        f": theorem on the {name}, median relative gap ",
        *estimate(f"{stem}/median", (middle, math.nan, math.nan), 2),
        ", largest ",
        *estimate(f"{stem}/largest", (largest, math.nan, math.nan), 2),
        " over probes: ",
        count(f"{stem}/probes", len(own)),
    )
    return [Finding(state="supported" if middle < EQUAL else "contradicted", claim=Claim(said))]
