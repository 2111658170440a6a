"""Whether the four ways to choose the learning rate rank the normalizers alike."""

from __future__ import annotations

import itertools
import math

import numpy as np

from analysis import ranks
from analysis.answers.evidence import Block, Evidence, estimate
from analysis.prose import Answer, Claim, Label, Part, Sentence, count

VIEWS = {
    "steps_to_target": "tuned on other seeds",
    "steps_to_target_of_two": "better of two tries",
    "steps_to_target_averaged": "averaged over the grid",
    "steps_to_target_shared": "one rate for all",
}
ACCURACY = {key.replace("steps_to_target", "test_accuracy"): said for key, said in VIEWS.items()}
RULE = (
    "Normalizers are ranked by each view's estimate. The rankings disagree where two views put "
    "different normalizers first, or their rank correlation is below zero."
)


def build(evidence: Evidence) -> Answer:
    """The first place of every view in every block, and the least agreement of two views."""
    found = [
        sentence
        for views in (VIEWS, ACCURACY)
        for block in evidence.blocks
        for sentence in [_block(block, views, evidence)]
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


def _block(block: Block, views: dict[str, str], evidence: Evidence) -> tuple[Sentence, bool] | None:
    names = [str(name) for name in block.runs["normalizer"].unique()]
    known = [key for key in views if evidence.measure(key)]
    values = {
        key: np.array([evidence.cell(key, block, name).estimate for name in names]) for key in known
    }
    values = {key: row for key, row in values.items() if np.isfinite(row).sum() > 1}
    if len(values) < 2:
        return None
    first = {key: _first(row, names, key) for key, row in values.items()}
    pairs = itertools.combinations(values.values(), 2)
    taus = [tau for one, other in pairs if math.isfinite(tau := ranks.overall(one, other)[0])]
    least = min(taus, default=math.nan)
    measure = evidence.measure(known[0])
    assert measure is not None
    said: list[Part] = [Label(block.name), f", by {measure.title}: "]
    for key, name in first.items():
        said += [f"{views[key]}: ", Label(name), "; "]
    stem = f"answers/tuning/{block.name}/{known[0]}"
    said += ["least rank correlation of two views ", *estimate(stem, (least, *[math.nan] * 2), 2)]
    return tuple(said), len(set(first.values())) > 1 or least < 0


def _first(row: np.ndarray, names: list[str], key: str) -> str:
    best = np.nanargmax(row) if "accuracy" in key else np.nanargmin(row)
    return names[int(best)]
