"""A probed measure of two normalizers: early, late, at matched loss, at each learning rate.

Rates are never pooled into a verdict: a claim that holds at one rate alone holds there. All rates
and phases of one comparison in one block are a family, and their intervals are simultaneous: with
probability 1 − `WRONG` all of them hold the truth (Bonferroni), so that a verdict on the wrong side
anywhere in the block is rarer than `WRONG`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answers.evidence import Block, Evidence, effect_of, estimate, troubles
from analysis.answers.tally import PHASES
from analysis.metrics import Measure
from analysis.reductions import WINDOW
from analysis.statistics import LEAST_FREE, Estimate, simultaneous
from analysis.text import Claim, Finding, Label, Number, Sentence, State, count

WRONG = 0.025
"""Chance that an interval anywhere in a family misses the truth, on either side."""


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Paired differences (of logarithms, for a ratio) of one phase, by learning rate."""

    phase: str
    measure: Measure
    by_rate: dict[float, np.ndarray]

    @property
    def testable(self) -> int:
        """How many rates can have an interval: those with pairs, if there are enough in all."""
        sizes = [len(d) for d in self.by_rate.values() if len(d)]
        return len(sizes) if sum(sizes) - len(sizes) >= LEAST_FREE else 0


def judge(
    read: Sequence[Readings], side: str, limit: float | None
) -> dict[tuple[str, float], tuple[State, Estimate]]:
    """By phase and rate the state of a claim and the effect with the interval that decides.

    Args:
        read: the phases of one comparison in one block.
        side: ``above`` or ``below``: where the claim puts the effect. limit: of the ratio or the
        difference; None for equality.
    """
    family = max(1, sum(readings.testable for readings in read))
    found = {}
    for readings in read:
        intervals = simultaneous(list(readings.by_rate.values()), WRONG / 2 / family)
        for lr, interval in zip(readings.by_rate, intervals, strict=True):
            ratio = readings.measure.contrast == "ratio"
            effect = _exponential(interval) if ratio else interval
            equal = (1.0 if ratio else 0.0) if limit is None else limit
            found[readings.phase, lr] = (_state(effect, side, equal), effect)
    return found


def _exponential(interval: Estimate) -> Estimate:
    with np.errstate(over="ignore"):
        center, low, high = np.exp(np.array(interval[:3])).tolist()
    return Estimate(center, low, high, interval.n)


def _state(effect: Estimate, side: str, limit: float) -> State:
    if effect.n == 0:
        return "not estimable"
    if side == "either":
        return "shown"
    above, below = effect.low > limit, effect.high < limit
    if side == "below":
        above, below = below, above
    return "supported" if above else "contradicted" if below else "open"


def readings_of(
    evidence: Evidence, stem: str, phases: Sequence[str], block: Block, pair: tuple[str, str]
) -> list[Readings]:
    """What a block has of a measure in the phases that the tables have."""
    found = []
    for phase in phases:
        measure = evidence.measure(f"{stem}_{phase}")
        if measure is not None and evidence.has_values(measure.key):
            by_rate = evidence.differences(measure.key, block, *pair)
            found.append(Readings(phase=phase, measure=measure, by_rate=by_rate))
    return found


_WORDS = {
    "supported": "as claimed at LR ",
    "contradicted": "against the claim at LR ",
    "open": "undecided at LR ",
    "not estimable": "not estimable at LR ",
    "shown": "at LR ",
}


def in_block(
    key: str,
    evidence: Evidence,
    block: Block,
    pair: tuple[str, str],
    read: Sequence[Readings],
    claimed: tuple[str, float | None, str],
) -> Iterator[Finding]:
    """The findings of one comparison in one block, a sentence for each phase.

    Args:
        claimed: side, limit and part of the claim.
    """
    side, limit, part = claimed
    judged = judge(read, side, limit)
    for readings in read:
        own = {lr: judged[readings.phase, lr] for lr in readings.by_rate}
        claim = _claim(key, evidence, block, pair, readings, own)
        for lr, (state, effect) in own.items():
            yield Finding(
                state=state,
                claim=claim,
                part=part,
                measure=readings.measure.title.removesuffix(f", {PHASES[readings.phase]}"),
                block=block.name,
                phase=readings.phase,
                lr=lr,
                effect=effect.estimate,
                low=effect.low,
                high=effect.high,
                unit=readings.measure.effect_unit,
                pairs=effect.n,
            )


def _claim(
    key: str,
    evidence: Evidence,
    block: Block,
    pair: tuple[str, str],
    readings: Readings,
    judged: dict[float, tuple[State, Estimate]],
) -> Claim:
    measure, (subject, reference) = readings.measure, pair
    stem = f"answers/{key}/{block.name}/{measure.key}/{subject} over {reference}"
    over = " over " if measure.contrast == "ratio" else " minus "
    sentence: Sentence = (Label(block.name), f": {measure.title}, ", Label(subject), over)
    sentence = (*sentence, Label(reference), ": ")
    for i, (lr, (state, effect)) in enumerate(judged.items()):
        rate = f"{stem}/LR {lr:g}"
        sentence = (
            *sentence,
            "; " if i else "",
            _WORDS[state],
            Number(f"{rate}/lr", lr, f"{lr:g}"),
        )
        if state == "not estimable":
            sentence = (*sentence, ": ", *_why(evidence, block, pair, readings, lr))
            continue
        sentence = (*sentence, ", ", *effect_of(f"{rate}/effect", effect[:3], measure))
        if not math.isfinite(effect.low):
            sentence = (*sentence, " (too few pairs for an interval)")
    return Claim(sentence, _proof(stem, evidence, block, pair, measure))


def _why(
    evidence: Evidence, block: Block, pair: tuple[str, str], readings: Readings, lr: float
) -> Sentence:
    """Why a rate has no pair of readings."""
    column = evidence.columns[readings.measure.key][1]
    for name in pair:
        own = block.runs_of(name)[block.runs_of(name)["lr"] == lr]
        if own.empty:
            return ("no run of ", Label(name))
        known = column.runs.loc[column.runs["cell_id"].isin(own["cell_id"]), column.value]
        if not known.notna().any():
            return (*_missing(own, readings.phase), Label(name))
    return ("no pair of runs",)


def _missing(runs: pd.DataFrame, phase: str) -> Sentence:
    """What keeps every run of one normalizer at one rate from a reading."""
    if phase == "loss":
        return (
            ("no probe at the target of ",)
            if runs["reached"].notna().any()
            else ("the target is not reached by ",)
        )
    learned = runs["learned"] <= (WINDOW[1] if phase == "early" else 1) * runs["steps"]
    return ("no reading off the plateau of ",) if learned.any() else ("on the plateau is ",)


def _proof(
    stem: str, evidence: Evidence, block: Block, pair: tuple[str, str], measure: Measure
) -> Sentence:
    """The summary over rates, the cells of the table, and what happened to runs."""
    contrast = evidence.contrast(measure.key, block, *pair)
    sentence: Sentence = ()
    if math.isfinite(contrast.effect):
        pooled = effect_of(f"{stem}/effect", contrast[:3], measure)
        sentence = ("all rates together ", *pooled, "; ")
    one, other = (evidence.cell(measure.key, block, name) for name in pair)
    if math.isfinite(one.estimate) and math.isfinite(other.estimate):
        sentence = (*sentence, *estimate(f"{stem}/{pair[0]}", one[:3], measure.digits), " against ")
        sentence = (*sentence, *estimate(f"{stem}/{pair[1]}", other[:3], measure.digits))
        sentence = (*sentence, f" {measure.unit}; " if measure.unit else "; ")
    sentence = (*sentence, "pairs of runs: ", count(f"{stem}/pairs", contrast.pairs))
    return (*sentence, *troubles(stem, {name: block.runs_of(name) for name in pair}))
