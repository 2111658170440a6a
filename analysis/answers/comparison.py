"""One normalizer against another in one quantity, block by block, worded by rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.answers.evidence import Block, Evidence, estimate, troubles
from analysis.metrics import Measure
from analysis.statistics.estimates import Estimate
from analysis.tables.contrasts import Contrast
from analysis.text.sentences import Claim, Label, Number, Sentence, State, count


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one comparison says in one block."""

    state: State
    claim: Claim
    effect: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A claim's testable part: ``subject`` over ``reference`` lies on one side of a limit.

    Attributes:
        measure: key of a table's measure. side: where the claim puts the effect.
        limit: of the ratio (or of the difference, for signed measures); None: equality, 1 or 0.
        plateau: a run that never left its initial loss makes the answer void.
        where: the blocks that it is about; scope: those in words.
    """

    measure: str
    subject: str
    reference: str
    side: Literal["above", "below"]
    limit: float | None = None
    plateau: bool = True
    where: Callable[[Block], bool] = lambda block: True
    scope: str = ""


def find(key: str, comparison: Comparison, evidence: Evidence) -> list[Finding]:
    """The findings of a comparison, one a block; one finding where no block has an answer."""
    measure = evidence.measure(comparison.measure)
    if measure is None:
        return [_nothing((f"not estimable: {evidence.why_not(comparison.measure)}",))]
    names = [evidence.label(name) for name in (comparison.subject, comparison.reference)]
    if missing := [n for n, label in zip(_names(comparison), names, strict=True) if not label]:
        return [_nothing(("not estimable: the study has no ", Label(missing[0])))]
    blocks = [block for block in evidence.blocks if comparison.where(block)]
    if not blocks:
        return [_nothing((f"not estimable: the study has no {comparison.scope}",))]
    pair = (str(names[0]), str(names[1]))
    return [_in_block(key, comparison, measure, pair, block, evidence) for block in blocks]


def _names(comparison: Comparison) -> tuple[str, str]:
    return comparison.subject, comparison.reference


def _nothing(said: Sentence) -> Finding:
    return Finding(state="not estimable", claim=Claim(said))


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
    said_troubles = tuple(troubles(stem, {name: block.of(name) for name in pair}))
    cells = [evidence.cell(measure.key, block, name) for name in pair]
    contrast = evidence.contrast(measure.key, block, subject, reference)
    if reason := _void(comparison, pair, cells, contrast, block):
        return _nothing((*start, "not estimable: ", *reason, *said_troubles))
    low, high = bounds(measure, contrast, cells)
    state = judged(comparison, measure, low, high)
    words = {"supported": "as claimed", "contradicted": "against the claim"}
    verdict: Sentence = (
        *start,
        f"{words.get(state, 'cannot be told')}: {measure.title}, ",
        Label(subject),
        " over " if measure.contrast == "ratio" else " minus ",
        Label(reference),
        ", ",
        *estimate(f"{stem}/effect", contrast[:3], measure.digits),
    )
    proof: Sentence = (
        *_cells(stem, measure, pair, cells),
        "; pairs of runs: ",
        count(f"{stem}/pairs", contrast.pairs),
        *(() if math.isfinite(contrast.effect_low) else (", too few for an interval",)),
        *said_troubles,
    )
    return Finding(state=state, claim=Claim(verdict, proof), effect=contrast.effect)


def _cells(stem: str, measure: Measure, pair: Sequence[str], cells: Sequence[Estimate]) -> Sentence:
    (one, other), (first, second) = pair, cells
    return (
        *estimate(f"{stem}/{one}", first[:3], measure.digits),
        " against ",
        *estimate(f"{stem}/{other}", second[:3], measure.digits),
    )


def _void(
    comparison: Comparison,
    pair: Sequence[str],
    cells: Sequence[Estimate],
    contrast: Contrast,
    block: Block,
) -> Sentence:
    """Why a block has no answer; empty where it has one."""
    for name, cell in zip(pair, cells, strict=True):
        if not math.isfinite(cell.estimate):
            return ("no run of ", Label(name), " has it")
        stuck = block.of(name)["stuck"].astype(bool)
        if comparison.plateau and stuck.mean() >= 0.5:
            return ("half or more of the runs of ", Label(name), " never left their initial loss")
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
    above, below = low > limit, high < limit
    if comparison.side == "below":
        above, below = below, above
    return "supported" if above else "contradicted" if below else "open"


def tally(key: str, findings: Sequence[Finding]) -> Sentence:
    """The verdict over all findings: in how many the claim holds."""
    counts = {
        state: sum(finding.state == state for finding in findings)
        for state in ("supported", "contradicted", "open", "not estimable")
    }
    tested = counts["supported"] + counts["contradicted"] + counts["open"]
    if not tested:
        return ("Not estimable.",)
    return (
        _headline(counts, tested),
        ": as claimed in ",
        count(f"answers/{key}/supported", counts["supported"]),
        " of ",
        count(f"answers/{key}/tested", tested),
        " comparisons, against it in ",
        count(f"answers/{key}/contradicted", counts["contradicted"]),
        ", undecided in ",
        count(f"answers/{key}/open", counts["open"]),
        *_unknown(key, counts["not estimable"]),
        ".",
    )


def _headline(counts: dict[str, int], tested: int) -> str:
    if counts["supported"] == tested:
        return "Supported"
    if counts["contradicted"] == tested:
        return "Contradicted"
    if counts["supported"] and not counts["contradicted"]:
        return "Supported in part"
    if counts["contradicted"] and not counts["supported"]:
        return "Contradicted in part"
    return "Mixed" if counts["supported"] else "Undecided"


def _unknown(key: str, number: int) -> tuple[str | Number, ...]:
    if not number:
        return ()
    return ("; not estimable in ", count(f"answers/{key}/not estimable", number))
