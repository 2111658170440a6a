"""Q1–Q9: what the paper's reviewers asked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.answers.comparison import Finding, find
from analysis.answers.evidence import Block, Evidence, estimate
from analysis.answers.paper_claims import (
    ACCURACY,
    BETA,
    CHANGE,
    ICS,
    OUTPUT,
    RANGE,
    SCALED_BETA,
    batch,
    compare,
)
from analysis.answers.prediction import descent, stability, worded
from analysis.answers.question import BY_INTERVAL, Question, answer, ask
from analysis.text.sentences import Answer, Claim, Label, Part, Sentence, count

_SHOWN = "A statement on the report itself; no test."
RELATED = (CHANGE, RANGE, SCALED_BETA, "curvature_eta_lambda_max_early", ICS)
"""What is asked to foretell: the paper's smoothness, free of scale, and its shift."""


def build(evidence: Evidence, figures: Sequence[str]) -> list[Answer]:
    """The questions, in their order; ``figures`` are the names of the report's."""
    return [
        _readable(figures),
        _defined(evidence),
        _families(evidence),
        _original(evidence),
        _generalization(evidence),
        _axes(figures),
        ask(_SPEED, evidence),
        _foretold(evidence),
        _alternatives(evidence),
    ]


def _said(
    key: str, text: str, verdict: Sentence, rule: str = _SHOWN, claims: Sequence[Sentence] = ()
) -> Answer:
    shown = [Claim(sentence) for sentence in claims]
    return Answer(key=key, question=text, rule=rule, verdict=verdict, claims=shown)


def _readable(figures: Sequence[str]) -> Answer:
    verdict: Sentence = (
        "All figures are flat, and no reading needs colour: ",
        count("answers/Q1/figures", len(figures)),
        " figures; where the paper drew histograms in perspective there are quantile fans: ",
        count("answers/Q1/fans", sum(name.startswith("activations") for name in figures)),
        ".",
    )
    return _said("Q1", "Can the figures be read?", verdict)


def _defined(evidence: Evidence) -> Answer:
    defined = sum(len(table.measures) for table in evidence.tables)
    verdict: Sentence = (
        "The gradient is that of the mini-batch training loss, batch statistics on, weight decay "
        "left out, with respect to all parameters along the landscape and to one layer's weight in "
        "gradient ICS, at the weights before the update; measures defined below: ",
        count("answers/Q2/measures", defined),
        ".",
    )
    return _said("Q2", "Which gradient, of what, with respect to what?", verdict)


def _families(evidence: Evidence) -> Answer:
    text = "Does it hold in ResNets and DenseNets?"
    found: list[Finding] = []
    for family in ("resnet", "densenet"):

        def of_family(block: Block, family: str = family) -> bool:
            return family in block.labels["architecture"].lower()

        for measure in (RANGE, CHANGE, "steps_to_target"):
            own = vars(batch(measure, "below"))
            comparison = type(batch(measure, "below"))(
                **{**own, "where": of_family, "scope": family}
            )
            found += find("Q3", comparison, evidence)
    return answer("Q3", text, BY_INTERVAL, found, evidence.table_of(RANGE))


def _original(evidence: Evidence) -> Answer:
    text = "Does the original covariate shift, of a layer's inputs, tell what the new one tells?"
    rule = (
        "As claimed where batch changes both in the same direction against none, against it where "
        "in opposite ones; sides by the rule of intervals."
    )
    original = [k for k in ("distribution_output_w1_early", OUTPUT) if evidence.measure(k)]
    if not original or evidence.measure(ICS) is None:
        said = Claim(("not estimable: it needs gradient_ics, and distribution_ics or moment_ics",))
        return answer("Q4", text, rule, [Finding(state="not estimable", claim=said)], "")
    found = [
        finding
        for one, other in zip(
            find("Q4", batch(original[0], "above"), evidence),
            find("Q4", batch(ICS, "above"), evidence),
            strict=False,
        )
        for finding in (_joint(one, other),)
    ]
    return answer("Q4", text, rule, found, evidence.table_of(ICS))


def _joint(one: Finding, other: Finding) -> Finding:
    claim = Claim((*one.claim.verdict, "; and ", *other.claim.verdict), one.claim.evidence)
    if "not estimable" in (one.state, other.state):
        return Finding(state="not estimable", claim=claim)
    if "open" in (one.state, other.state):
        return Finding(state="open", claim=claim)
    same = one.state == other.state
    return Finding(state="supported" if same else "contradicted", claim=claim)


def _generalization(evidence: Evidence) -> Answer:
    rule = "Worded as for speed below; sharpness and accuracy at matched training loss beside."
    claims: list[Sentence] = []
    for key in RELATED:
        claims += worded("Q5", key, "test", evidence) + worded("Q5", key, "test_loss", evidence)
    for block in evidence.blocks:
        claims += _flattest(block, evidence)
    verdict: Sentence = ("Measure by measure, as the data allow:",)
    return _said(
        "Q5",
        "Do normalizers that smooth also generalize better, and end in flatter minima?",
        verdict if claims else ("Not estimable: no smoothness was measured.",),
        rule,
        claims,
    )


def _flattest(block: Block, evidence: Evidence) -> list[Sentence]:
    """Which normalizer ends flattest by adaptive sharpness, and its rank in accuracy."""
    key = "sharpness_adaptive_sharpness_end"
    if evidence.measure(key) is None:
        return []
    names = [str(name) for name in block.runs["normalizer"].unique()]
    known = {n: evidence.cell(key, block, n).estimate for n in names}
    known = {n: v for n, v in known.items() if math.isfinite(v)}
    if not known:
        return []
    flattest = min(known, key=lambda n: known[n])
    stem = f"answers/Q5/{block.name}/flattest"
    accuracy = evidence.cell(ACCURACY, block, flattest) if evidence.measure(ACCURACY) else None
    said: Sentence = (
        Label(block.name),
        ": flattest end, by adaptive sharpness: ",
        Label(flattest),
        " ",
        *estimate(stem, evidence.cell(key, block, flattest)[:3], 3),
    )
    if accuracy is not None:
        said = (*said, ", its test accuracy ", *estimate(f"{stem}/accuracy", accuracy[:3], 3), " %")
    return [said]


def _axes(figures: Sequence[str]) -> Answer:
    verdict: Sentence = (
        "Every axis has a name and a unit, and every caption says what bands are and how many runs "
        "they rest on, in all ",
        count("answers/Q6/figures", len(figures)),
        " figures.",
    )
    return _said("Q6", "Do the axes of the histograms mean something?", verdict)


_SPEED = Question(
    key="Q7",
    text="How fast do the moments change? Claimed is: faster with batch normalization than with "
    "none.",
    comparisons=tuple(
        compare(key, "batch", "none", "above")
        for key in (
            "moment_ics_mean_shift_early",
            "moment_ics_log_std_shift_early",
            OUTPUT,
            "moment_output_log_std_shift_early",
        )
    ),
)


def _foretold(evidence: Evidence) -> Answer:
    rule = (
        "“Predicts”: ψ's interval is above zero, and its permutation test rejects, in every block; "
        "the worst sign-error is below a half; and the measure adds to the prediction of each "
        "architecture from the others. Else “associated in k of K”. Else “no evidence”, with the "
        "smallest ψ that could have been told. Never more."
    )
    claims = [sentence for key in RELATED for sentence in worded("Q8", key, "speed", evidence)]
    claims += [s for key in RELATED for s in worded("Q8", key, "speed_loss", evidence)]
    measured = bool(claims)
    claims += [*descent(evidence), *stability(evidence, BETA)]
    verdict: Sentence = ("Measure by measure, by the rule:",)
    return _said(
        "Q8",
        "Is there an explicit, tested relation between smoothness and optimization?",
        verdict if measured else ("Not estimable: no smoothness was measured.",),
        rule,
        claims,
    )


def _alternatives(evidence: Evidence) -> Answer:
    claims = [
        sentence
        for block in evidence.blocks
        for key in (RANGE, ICS)
        for sentence in _smoothest(block, key, evidence)
    ]
    normalizers = evidence.basis.runs["normalizer"].nunique()
    verdict: Sentence = (
        "Normalizers compared: ",
        count("answers/Q9/normalizers", int(normalizers)),
        "; the ends of each ranking, which the tables and heatmaps show in full:",
    )
    return _said("Q9", "How do the alternatives compare?", verdict, _SHOWN, claims)


def _smoothest(block: Block, key: str, evidence: Evidence) -> list[Sentence]:
    measure = evidence.measure(key)
    if measure is None:
        return []
    names = [str(name) for name in block.runs["normalizer"].unique()]
    cells = {name: evidence.cell(key, block, name) for name in names}
    values = np.array([cells[name].estimate for name in names])
    if not np.isfinite(values).any():
        return []
    said: list[Part] = [Label(block.name), f": {measure.title}: least with "]
    for place, word in ((np.nanargmin(values), " and most with "), (np.nanargmax(values), "")):
        name = names[int(place)]
        stem = f"answers/Q9/{block.name}/{key}/{name}"
        said += [Label(name), " ", *estimate(stem, cells[name][:3], measure.digits), word]
    return [tuple(said)]
