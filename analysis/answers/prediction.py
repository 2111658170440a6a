"""What may be said of a measure that is asked to foretell speed or generalization."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd

from analysis.answers.evidence import Evidence, estimate
from analysis.statistics import estimates, regression
from analysis.tables import (
    HEADLINE,
    SAID,
    Kind,
    Verdict,
    quantity,
    relations_for,
    stable_lr,
    verdict,
)
from analysis.text import Label, Sentence, count, counted


def kinds(outlook: str, evidence: Evidence) -> Counter[Kind]:
    """How many measures of the family may be said what of an outcome."""
    found = [relations_for(evidence.basis.relations, key, outlook) for key in HEADLINE]
    return Counter(verdict(own).kind for own in found if own)


def headline(stem: str, outlook: str, evidence: Evidence) -> Sentence:
    """How many measures predict an outcome, are associated with it, or show nothing."""
    counts = kinds(outlook, evidence)
    measures = counted(f"answers/{stem}/measures", counts.total(), "measure")
    sentence: Sentence = ("Of ", *measures, ", ")
    words: dict[Kind, str] = {
        "predicts": f" predict {SAID[outlook]}",
        "associated": " are associated with it in some architecture",
        "opposed": " go against it",
        "no evidence": " show no evidence",
        "not estimable": " are not estimable",
    }
    shown: list[Kind] = [kind for kind in words if counts[kind] or kind in _FIRST]
    for i, kind in enumerate(shown):
        stem_of = f"answers/{stem}/{outlook}/{kind}"
        sentence = (*sentence, ", " if i else "", count(stem_of, counts[kind]), words[kind])
    return sentence


_FIRST: tuple[Kind, ...] = ("predicts", "associated")


def worded(stem: str, key: str, outlook: str, evidence: Evidence) -> list[Sentence]:
    """One measure against one outcome, worded by rule; nothing where it was not measured."""
    found = relations_for(evidence.basis.relations, key, outlook)
    if not found:
        return []
    outcome, place = verdict(found), f"answers/{stem}/{key}/{outlook}"
    whole = next(relation for relation in found if not relation.block)
    name = Label(quantity(whole))
    if outcome.kind == "not estimable":
        why = "no two normalizers have both a reading in time and an outcome"
        return [(name, f": not estimable for {SAID[outlook]}: {why}")]
    start: Sentence = {
        "predicts": (name, f" predicts {SAID[outlook]}"),
        "associated": (name, f" is associated with {SAID[outlook]} in "),
        "opposed": (name, f" goes against {SAID[outlook]} in "),
        "no evidence": (name, f": no evidence for {SAID[outlook]} in any of "),
    }[outcome.kind]
    if outcome.kind in ("associated", "opposed"):
        start = (*start, count(f"{place}/blocks", outcome.blocks), " of ")
    if outcome.kind != "predicts":
        start = (*start, count(f"{place}/of", outcome.of), " blocks")
    if outcome.kind == "no evidence":
        start = (*start, *_short_of(place, outcome))
    testable = math.isfinite(outcome.detectable)
    bounds = (whole.psi.low, whole.psi.high) if testable else (math.nan, math.nan)
    numbers = (whole.psi.estimate, *bounds)
    sentence: Sentence = (*start, "; ψ over all blocks = ", *estimate(f"{place}/psi", numbers, 2))
    sentence += (", τ over all runs = ", *_alone(f"{place}/overall", whole.overall))
    return [(*sentence, "; normalizers: ", count(f"{place}/n", whole.psi.n))]


def _short_of(place: str, found: Verdict) -> Sentence:
    """What the largest ψ of a block lacks."""
    digits = _telling_digits(found.largest, found.detectable)
    largest: Sentence = (
        ": the largest ψ of one is ",
        *_alone(f"{place}/largest", found.largest, digits),
    )
    if not math.isfinite(found.detectable):
        return (*largest, ", with too few normalizers to detect any")
    least = _alone(f"{place}/detectable", found.detectable, digits)
    if found.largest < found.detectable - 1e-9:  # what differs less differs by rounding
        return (*largest, "; the test detects a ψ from ", *least, " on")
    return (*largest, ", enough for the test (", *least, "), but its interval reaches zero")


def _telling_digits(one: float, two: float) -> int:
    """Two digits, or as many as tell two values apart."""
    telling = (digits for digits in range(2, 6) if f"{one:.{digits}f}" != f"{two:.{digits}f}")
    return next(telling, 2)


def _alone(key: str, value: float, digits: int = 2) -> Sentence:
    return estimate(key, (value, math.nan, math.nan), digits)


def descent(evidence: Evidence) -> list[Sentence]:
    """The slope of realised on predicted descent: 1 where the descent lemma's model holds."""
    frame = evidence.basis.study.reduced.get("records/descent_lemma", pd.DataFrame())
    if not {"predicted", "realised"} <= set(frame):
        return [("The descent lemma: not estimable, no run recorded descent_lemma",)]
    slopes = lemma(frame)
    rng = np.random.default_rng(evidence.basis.seed)
    slope = estimates.interval(slopes, np.zeros(len(slopes)), rng)
    return [
        (
            "The descent lemma: realised over predicted change of the loss, slope ",
            *estimate("answers/Q8/descent", slope[:3], 3),
            " where exact descent on the quadratic model has one; runs: ",
            count("answers/Q8/descent/runs", slope.n),
        )
    ]


def lemma(frame: pd.DataFrame) -> np.ndarray:
    """Per run, the slope through the origin of realised on predicted change: Σpr/Σp²."""
    known = frame[np.isfinite(frame["predicted"]) & np.isfinite(frame["realised"])]
    products = pd.DataFrame(
        {
            "cell_id": known["cell_id"].astype(str),
            "pr": known["predicted"] * known["realised"],
            "pp": known["predicted"] ** 2,
        }
    )
    sums = products.groupby("cell_id").sum()
    sums = sums[sums["pp"] > 0]
    return (sums["pr"] / sums["pp"]).to_numpy()


def stability(evidence: Evidence, key: str) -> list[Sentence]:
    """The slope of the logarithm of the largest stable rate on that of β: −1 by the theory."""
    if evidence.measure(key) is None:
        return []
    rows = [
        (
            block.name,
            stable_lr(block.runs_of(str(name))),
            evidence.cell(key, block, str(name)).estimate,
        )
        for block in evidence.blocks
        for name in block.runs["normalizer"].unique()
    ]
    frame = pd.DataFrame(rows, columns=["block", "rate", "beta"]).dropna()
    with np.errstate(divide="ignore"):
        found = regression.slope(np.log(frame["beta"]), np.log(frame["rate"]), frame["block"])
    start = "Largest stable learning rate against effective β, in logarithms: "
    if not math.isfinite(found.estimate) or frame["rate"].nunique() < 2:
        return [(start, "not estimable, for the grid shows no limit of stability that varies")]
    slope = estimate("answers/Q8/stability", found[:3], 2)
    points = count("answers/Q8/stability/points", found.n)
    return [(start, "slope ", *slope, "; points: ", points)]
