"""Whether the four ways to choose the learning rate rank the normalizers alike."""

from __future__ import annotations

import itertools
import math

import pandas as pd

from analysis import metrics
from analysis.answers.evidence import Block, Evidence, estimate
from analysis.metrics import Measure
from analysis.statistics import rank_correlation
from analysis.study import label_order
from analysis.tables import tuning_ranks
from analysis.text import Answer, Claim, Label, Part, Sentence, count

VIEWS = {
    "tuned": "each at its best rate",
    "of_two": "the better of two rates",
    "averaged": "averaged over the grid",
    "shared": "one rate for all",
}
OUTCOMES = {"time": metrics.STEPS, "accuracy": metrics.ACCURACY}
RULE = (
    "Ranked by means over seeds, so that a run that diverges never improves a rank: at the rate "
    "that is best for the outcome itself; by the expected better of two random rates; by the "
    "average over the rates; by the place at one rate for all, averaged over which one. (The "
    "tables' estimates are at a rate that other seeds chose by validation score: better estimates, "
    "but by luck a divergence can improve one.) The rankings disagree where two views put "
    "different normalizers first, or their rank correlation is below zero."
)


def build(evidence: Evidence) -> Answer:
    """The first place of every view in every block, and the least agreement of two views."""
    found = [
        sentence
        for outcome, measure in OUTCOMES.items()
        for ranked in [tuning_ranks.ranked(evidence.basis.runs, outcome)]
        for block in evidence.blocks
        for sentence in [_block(block, ranked, measure)]
        if sentence
    ]
    disagreeing = sum(disagrees for _, disagrees in found)
    verdict: Sentence = (
        "Rankings disagree in ",
        count("answers/tuning/disagree", disagreeing),
        " of ",
        count("answers/tuning/rankings", len(found)),
        " blocks and outcomes.",
    )
    return Answer(
        key="Tuning",
        question="Do the four views on tuning rank the normalizers alike?",
        rule=RULE,
        verdict=verdict if found else ("Not estimable: it needs two normalizers that trained.",),
        claims=[Claim(sentence) for sentence, _ in found],
        table="table3_training" if found else "",
    )


def _block(block: Block, ranked: pd.DataFrame, measure: Measure) -> tuple[Sentence, bool] | None:
    own = ranked.xs(tuple(block.labels.values()), level=list(block.labels)).dropna()
    if len(own) < 2:
        return None
    in_order = own.round(12).loc[label_order.names(own.index)]
    first = {view: str(in_order[view].idxmin()) for view in VIEWS}
    pairs = itertools.combinations(VIEWS, 2)
    taus = [rank_correlation.overall(in_order[one], in_order[other])[0] for one, other in pairs]
    least = min((tau for tau in taus if math.isfinite(tau)), default=math.nan)
    built: list[Part] = [Label(block.name), f", by {measure.title}: "]
    for view, name in first.items():
        built += [f"{VIEWS[view]}: ", Label(name), "; "]
    stem = f"answers/tuning/{block.name}/{measure.key}"
    built += ["least rank correlation of two views ", *estimate(stem, (least, *[math.nan] * 2), 2)]
    return tuple(built), len(set(first.values())) > 1 or least < 0
