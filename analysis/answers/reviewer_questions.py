"""Q1–Q9: what the paper's reviewers asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.answers import ratios
from analysis.answers.comparison import Comparison
from analysis.answers.evidence import Block, Evidence, estimate
from analysis.answers.paper_claims import (
    ABSOLUTE_RANGE,
    ACCURACY,
    BETA,
    CHANGE,
    ICS,
    RANGE,
    STEPS,
    batch,
    early,
    half,
)
from analysis.answers.prediction import descent, headline, kinds, stability, worded
from analysis.answers.question import BY_INTERVAL, BY_PHASE, Question, ask
from analysis.tables import HEADLINE
from analysis.text import Answer, Claim, Label, Part, Sentence, count

_SHOWN = "A statement on the report itself; no test."


def build(evidence: Evidence, figures: Sequence[str]) -> list[Answer]:
    """The questions, in their order; ``figures`` are the names of the report's."""
    return [
        _readable(figures),
        _defined(evidence),
        _families(evidence),
        ratios.original(evidence),
        _generalization(evidence),
        _axes(figures),
        ratios.speeds(evidence),
        _foretold(evidence),
        _alternatives(evidence),
    ]


def _shown_answer(
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
    return _shown_answer("Q1", "Can the figures be read?", verdict)


def _defined(evidence: Evidence) -> Answer:
    defined = sum(len(table.measures) for table in evidence.tables)
    verdict: Sentence = (
        "The gradient is that of the mini-batch training loss, batch statistics on, weight decay "
        "left out, with respect to all parameters along the landscape and to one layer's weight in "
        "gradient ICS, at the weights before the update; measures defined below: ",
        count("answers/Q2/measures", defined),
        ".",
    )
    return _shown_answer("Q2", "Which gradient, of what, with respect to what?", verdict)


def _families(evidence: Evidence) -> Answer:
    found: list[Comparison] = []
    for family, part in (("resnet", "ResNets"), ("densenet", "DenseNets")):

        def of_family(block: Block, family: str = family) -> bool:
            return family in block.labels["architecture"].lower()

        for measure in (RANGE, CHANGE, STEPS):
            own = replace(batch(measure, "below"), where=of_family, scope=family)
            found += half(part, own)
    question = Question(
        key="Q3",
        text="Does it hold in ResNets and DenseNets?",
        comparisons=tuple(found),
        rule=f"Smoothness. {BY_PHASE} Steps. {BY_INTERVAL}",
    )
    return ask(question, evidence)


def _generalization(evidence: Evidence) -> Answer:
    rule = "Worded as for speed below; sharpness and accuracy at matched training loss beside."
    claims: list[Sentence] = []
    for key in HEADLINE:
        claims += worded("Q5", key, "test", evidence) + worded("Q5", key, "test_loss", evidence)
    ends = [found for block in evidence.blocks for found in _flattest(block, evidence)]
    claims += [sentence for sentence, _ in ends]
    verdict: Sentence = ("Not estimable: no smoothness was measured.",)
    if kinds("test", evidence):
        verdict = (*headline("Q5", "test", evidence), ".")
    elif claims:
        verdict = ("Not estimable: no measure of smoothness has a reading.",)
    if ends:
        best = count("answers/Q5/flattest/best", sum(is_best for _, is_best in ends))
        of = count("answers/Q5/flattest/of", len(ends))
        verdict = (*verdict, " The flattest end is also the most accurate in ", best, " of ", of)
        verdict = (*verdict, " blocks.")
    return _shown_answer(
        "Q5",
        "Do normalizers that smooth also generalize better, and end in flatter minima?",
        verdict,
        rule,
        claims,
    )


def _flattest(block: Block, evidence: Evidence) -> list[tuple[Sentence, bool]]:
    """Which normalizer ends flattest by adaptive sharpness; and is it the most accurate."""
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
    built: Sentence = (
        Label(block.name),
        ": flattest end, by adaptive sharpness: ",
        Label(flattest),
        " ",
        *estimate(stem, evidence.cell(key, block, flattest)[:3], 3),
    )
    if evidence.measure(ACCURACY) is None:
        return [(built, False)]
    right = {n: evidence.cell(ACCURACY, block, n).estimate for n in known}
    accuracy = evidence.cell(ACCURACY, block, flattest)
    built = (*built, ", its test accuracy ", *estimate(f"{stem}/accuracy", accuracy[:3], 3), " %")
    return [(built, right[flattest] == max(right.values()))]


def _axes(figures: Sequence[str]) -> Answer:
    verdict: Sentence = (
        "Every axis has a name and a unit, and every caption says what bands are and how many runs "
        "they rest on, in all ",
        count("answers/Q6/figures", len(figures)),
        " figures.",
    )
    return _shown_answer("Q6", "Do the axes of the histograms mean something?", verdict)


def _foretold(evidence: Evidence) -> Answer:
    rule = (
        "“Predicts”: ψ's interval is above zero, and its permutation test rejects, in every block; "
        "the worst sign-error is below a half; and the measure adds to the prediction of each "
        "architecture from the others. Else “associated in k of K”. Else “no evidence”, with the "
        "largest ψ of a block and the ψ that could have been told there. Tests after Holm over the "
        "measures, for one outcome in one block. Never more."
    )
    claims = [sentence for key in HEADLINE for sentence in worded("Q8", key, "speed", evidence)]
    claims += [s for key in HEADLINE for s in worded("Q8", key, "speed_loss", evidence)]
    measured = bool(claims)
    lemma = descent(evidence)
    claims += [*lemma, *stability(evidence, early(BETA))]
    verdict: Sentence = ("Not estimable: no smoothness was measured.",)
    if measured:
        verdict = (*headline("Q8", "speed", evidence), ". ", *lemma[0], ".")
    return _shown_answer(
        "Q8",
        "Is there an explicit, tested relation between smoothness and optimization?",
        verdict,
        rule,
        claims,
    )


def _alternatives(evidence: Evidence) -> Answer:
    claims = [
        sentence
        for block in evidence.blocks
        for key in (early(ABSOLUTE_RANGE), early(ICS))
        for sentence in _smoothest(block, key, evidence)
    ]
    normalizers = evidence.basis.runs["normalizer"].nunique()
    verdict: Sentence = (
        "Normalizers compared: ",
        count("answers/Q9/normalizers", int(normalizers)),
        "; the numbers below are the ends of each ranking, the tables and heatmaps show all of it.",
    )
    return _shown_answer("Q9", "How do the alternatives compare?", verdict, _SHOWN, claims)


def _smoothest(block: Block, key: str, evidence: Evidence) -> list[Sentence]:
    measure = evidence.measure(key)
    if measure is None:
        return []
    names = [str(name) for name in block.runs["normalizer"].unique()]
    cells = {name: evidence.cell(key, block, name) for name in names}
    values = np.array([cells[name].estimate for name in names])
    if not np.isfinite(values).any():
        return []
    built: list[Part] = [Label(block.name), f": {measure.title}: least with "]
    for place, word in ((np.nanargmin(values), " and most with "), (np.nanargmax(values), "")):
        name = names[int(place)]
        stem = f"answers/Q9/{block.name}/{key}/{name}"
        built += [Label(name), " ", *estimate(stem, cells[name][:3], measure.digits), word]
    return [tuple(built)]
