"""The verdict matrix: claims and questions down, architectures across, a mark and an effect each.

A cell sums up the findings of one part of a claim in one block. Decided comparisons beat undecided
ones; where the decided ones disagree the cell is mixed, and says when each holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.answers.effects import effect_range
from analysis.answers.tally import PHASES
from analysis.text import TESTED, Answer, Finding, Sentence, State, count

CellState = Literal["supported", "contradicted", "mixed", "open", "not estimable", "shown"]
MARKS: dict[CellState, tuple[str, str]] = {
    "supported": ("✓", "as claimed"),
    "contradicted": ("✕", "against"),
    "mixed": ("±", "mixed"),
    "open": ("○", "undecided"),
    "not estimable": ("–", "no data"),
    "shown": ("#", "number"),
}
"""By state the mark and its words: neither needs colour."""
_WHEN = ("", *PHASES)
_SHOWN = 2
"""Phases of which a cell has the number, where a question is answered by numbers."""
_TOPICS = {
    "C7": "predictive gradients",
    "C11": "larger learning rates",
    "C12": "theorems",
    "K2": "λ_max not smaller",
    "K3": "smoothing not enough",
    "K4": "ICS not smaller",
}
"""What a claim that is one is about, for the head of its row."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One part of a claim in one block: its state, when it holds, and the effect there."""

    state: CellState
    sentence: Sentence
    block: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One part of a claim, or the measure that answers a question; ``key`` is the answer's."""

    key: str
    part: str
    cells: tuple[Cell, ...]

    @property
    def is_known(self) -> bool:
        """Whether some cell has an answer."""
        return any(cell.state != "not estimable" for cell in self.cells)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Rows by claim and part; columns are blocks, in reading order."""

    blocks: tuple[str, ...]
    rows: tuple[Row, ...]


def matrix(answers: Sequence[Answer]) -> Matrix:
    """The matrix of all answers that rest on findings; rows without any data are left out."""
    blocks = dict.fromkeys(f.block for answer in answers for f in answer.findings if f.block)
    rows = [row for answer in answers for row in _rows(answer, list(blocks))]
    return Matrix(blocks=tuple(blocks), rows=tuple(row for row in rows if row.is_known))


def _rows(answer: Answer, blocks: Sequence[str]) -> list[Row]:
    parts: dict[str, list[Finding]] = {}
    is_question = all(f.state in ("shown", "not estimable") for f in answer.findings)
    for finding in answer.findings:
        if is_question and not by_construction(finding):
            parts.setdefault(finding.measure, []).append(finding)
        elif not is_question and finding.state != "shown":
            parts.setdefault(finding.part, []).append(finding)
    parts.pop("", None) if len(parts) > 1 else None
    return [
        Row(
            key=answer.key,
            part=part or _TOPICS.get(answer.key, ""),
            cells=tuple(
                _cell(f"matrix/{answer.key}/{part}/{block}", block, _in_block(found, block))
                for block in blocks
            ),
        )
        for part, found in parts.items()
    ]


def by_construction(finding: Finding) -> bool:
    """Whether a number is what the normalizer makes it, and so no finding."""
    return str(finding.claim.verdict[0]).startswith("By construction")


def _in_block(findings: Sequence[Finding], block: str) -> list[Finding]:
    return [finding for finding in findings if finding.block == block]


def _cell(key: str, block: str, findings: Sequence[Finding]) -> Cell:
    for states in (("supported", "contradicted"), ("open",), ("shown",)):
        own = [finding for finding in findings if finding.state in states]
        if own:
            tested = [f for f in findings if f.state in TESTED]
            return Cell(state=_state(own), sentence=_cell_text(key, own, tested), block=block)
    return Cell(state="not estimable", sentence=(), block=block)


def _state(findings: Sequence[Finding]) -> CellState:
    states: set[State] = {finding.state for finding in findings}
    return findings[0].state if len(states) == 1 else "mixed"


def _cell_text(key: str, findings: Sequence[Finding], tested: Sequence[Finding]) -> Sentence:
    """``late 0.036 to 0.040× (2 of 4)``: when, the effects, how many of the comparisons.

    Where a part has several measures, the one that decides is named.
    """
    if findings[0].state == "open":
        return ()
    several = len({finding.measure for finding in tested}) > 1
    sentence: Sentence = ()
    phases = [phase for phase in _WHEN if any(f.phase == phase for f in findings)]
    if findings[0].state == "shown":
        phases = phases[:_SHOWN]
    for phase in phases:
        own = [finding for finding in findings if finding.phase == phase]
        sentence = (*sentence, *(("; ",) if sentence else ()), *_phase(key, phase, own, several))
    if findings[0].state != "shown" and len(findings) < len(tested):
        done, of = count(f"{key}/decided", len(findings)), count(f"{key}/tested", len(tested))
        sentence = (*(sentence or (MARKS[_state(findings)][1],)), " (", done, " of ", of, ")")
    return sentence


def _phase(key: str, phase: str, findings: Sequence[Finding], several: bool) -> Sentence:
    stem = f"{key}/{phase}" if phase else key
    effects = effect_range(stem, findings)
    named = [findings[0].measure] if several and effects else []
    words = " ".join([*filter(None, [PHASES.get(phase, "")]), *named])
    return (*((words,) if words else ()), *((" ",) if words and effects else ()), *effects)
