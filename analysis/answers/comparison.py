"""One normalizer against another in one quantity, block by block, worded by rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.answers import phases
from analysis.answers.absent import no_architecture, no_normalizer
from analysis.answers.evidence import Block, Evidence, effect_of, estimate, troubles
from analysis.metrics import Measure
from analysis.reductions import is_weak
from analysis.statistics import Estimate
from analysis.tables import Contrast
from analysis.text import Claim, Finding, Label, Sentence, State, count

_WEAK = ("; the target is above half of the loss at chance, so reaching it says little",)
EVERY_PHASE = ("early", "late", "loss")
Side = Literal["above", "below", "either"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A claim's testable part: ``subject`` over ``reference`` lies on one side of a limit.

    Attributes:
        measure: key of a table's measure; of a probed one without its phase.
        side: where the claim puts the effect; ``either``: a question, answered by the number.
        limit: of the ratio (or of the difference, for signed measures); None: equality, 1 or 0.
        phases: when a probed measure is asked, at each learning rate; empty for an outcome.
        part: which half of the claim this is, in words.
        where: the blocks that it is about; scope: those in words.
    """

    measure: str
    subject: str
    reference: str
    side: Side
    limit: float | None = None
    phases: tuple[str, ...] = ()
    part: str = ""
    where: Callable[[Block], bool] = lambda block: True
    scope: str = ""


def find(key: str, comparison: Comparison, evidence: Evidence) -> list[Finding]:
    """The findings of a comparison, by block, phase and rate; one where no block has an answer."""
    names = _measures(comparison)
    known = [name for name in names if evidence.measure(name) is not None]
    if not any(evidence.has_values(name) for name in known):
        wanting = evidence.why_not((*known, *names)[0])
        return [_nothing(comparison, (f"not estimable: {wanting}",))]
    names = (comparison.subject, comparison.reference)
    labels = [evidence.label(name) for name in names]
    if missing := [name for name, label in zip(names, labels, strict=True) if not label]:
        return [_nothing(comparison, no_normalizer(missing[0]))]
    blocks = [block for block in evidence.blocks if comparison.where(block)]
    if not blocks:
        return [_nothing(comparison, no_architecture(comparison.scope))]
    pair = (str(labels[0]), str(labels[1]))
    return [f for block in blocks for f in _find(key, comparison, pair, block, evidence)]


def _measures(comparison: Comparison) -> list[str]:
    stem = comparison.measure
    return [f"{stem}_{phase}" for phase in comparison.phases] if comparison.phases else [stem]


def _find(
    key: str, comparison: Comparison, pair: tuple[str, str], block: Block, evidence: Evidence
) -> list[Finding]:
    if not comparison.phases:
        measure = evidence.measure(comparison.measure)
        assert measure is not None
        return [_in_block(key, comparison, measure, pair, block, evidence)]
    read = phases.readings_of(evidence, comparison.measure, comparison.phases, block, pair)
    claimed = (comparison.side, comparison.limit, comparison.part)
    return list(phases.in_block(key, evidence, block, pair, read, claimed))


def _nothing(comparison: Comparison, sentence: Sentence, block: str = "") -> Finding:
    claim = Claim(sentence)
    return Finding(state="not estimable", claim=claim, part=comparison.part, block=block)


def _in_block(
    key: str,
    comparison: Comparison,
    measure: Measure,
    pair: tuple[str, str],
    block: Block,
    evidence: Evidence,
) -> Finding:
    subject, reference = pair
    stem = f"answers/{key}/{block.name}/{measure.key}/{subject} over {reference}"
    start: Sentence = (Label(block.name), ": ")
    said_troubles = tuple(troubles(stem, {name: block.runs_of(name) for name in pair}))
    cells = [evidence.cell(measure.key, block, name) for name in pair]
    contrast = evidence.contrast(measure.key, block, subject, reference)
    if reason := _void(pair, cells, contrast):
        sentence: Sentence = (*start, "not estimable: ", *reason, *said_troubles)
        return _nothing(comparison, sentence, block.name)
    low, high = bounds(measure, contrast, cells)
    state = judged(comparison, measure, low, high)
    words = {"supported": "as claimed", "contradicted": "against the claim"}
    verdict: Sentence = (
        *start,
        f"{words.get(state, 'undecided')}: {measure.title}, ",
        Label(subject),
        " over " if measure.contrast == "ratio" else " minus ",
        Label(reference),
        ", ",
        *effect_of(f"{stem}/effect", contrast[:3], measure),
    )
    proof: Sentence = (
        *_cells(stem, measure, pair, cells),
        "; pairs of runs: ",
        count(f"{stem}/pairs", contrast.pairs),
        *(() if math.isfinite(contrast.effect_low) else (", too few for an interval",)),
        *(_WEAK if measure.key.startswith("steps") and is_weak(block.runs).any() else ()),
        *said_troubles,
    )
    return Finding(
        state=state,
        claim=Claim(verdict, proof),
        part=comparison.part,
        measure=measure.title,
        block=block.name,
        effect=contrast.effect,
        low=low,
        high=high,
        unit=measure.effect_unit,
        pairs=contrast.pairs,
    )


def _cells(stem: str, measure: Measure, pair: Sequence[str], cells: Sequence[Estimate]) -> Sentence:
    (one, other), (first, second) = pair, cells
    return (
        *estimate(f"{stem}/{one}", first[:3], measure.digits),
        " against ",
        *estimate(f"{stem}/{other}", second[:3], measure.digits),
        *((f" {measure.unit}",) if measure.unit else ()),
    )


def _void(pair: Sequence[str], cells: Sequence[Estimate], contrast: Contrast) -> Sentence:
    """Why a block has no answer; empty where it has one."""
    for name, cell in zip(pair, cells, strict=True):
        if not math.isfinite(cell.estimate):
            return ("no run of ", Label(name), " has it")
    if not math.isfinite(contrast.effect):
        return ("no run of one is paired with a run of the other",)
    return ()


def bounds(measure: Measure, contrast: Contrast, cells: Sequence[Estimate]) -> tuple[float, float]:
    """The effect's interval; without one, what the two estimates' own intervals allow."""
    if math.isfinite(contrast.effect_low):
        return contrast.effect_low, contrast.effect_high
    one, other = cells
    if measure.contrast == "difference":
        return one.low - other.high, one.high - other.low
    return _over(one.low, other.high), _over(one.high, other.low)


def _over(one: float, other: float) -> float:
    return one / other if other > 0 else math.nan


def judged(comparison: Comparison, measure: Measure, low: float, high: float) -> State:
    """Supported if the whole interval is on the claim's side of its limit; and the reverse."""
    limit = comparison.limit
    if limit is None:
        limit = 1.0 if measure.contrast == "ratio" else 0.0
    if comparison.side == "either":
        return "shown"
    above, below = low > limit, high < limit
    if comparison.side == "below":
        above, below = below, above
    return "supported" if above else "contradicted" if below else "open"
