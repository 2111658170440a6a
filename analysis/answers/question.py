"""A claim made of comparisons becomes an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from analysis.answers.comparison import Comparison, find
from analysis.answers.evidence import Evidence
from analysis.answers.tally import tally
from analysis.text import Answer, Claim, Finding, Label, Sentence

BY_INTERVAL = (
    "A comparison is as claimed if the whole interval of the paired effect is on the claim's side "
    "of the limit, against it if wholly on the other, else undecided; with too few pairs for an "
    "interval, the two estimates' own intervals have to be that far apart."
)
BY_PHASE = (
    "Asked early (5 to 25 % of the run), late (its second half) and at matched training loss, at "
    "each learning rate: as claimed where the whole interval of the paired effect is on the "
    "claim's side of the limit, against it where wholly on the other, else undecided. The interval "
    "holds for all rates and phases of an architecture at once, with 97.5 % confidence. Readings "
    "on the plateau are void. All rates together: a summary, no verdict."
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A claim, and the comparisons that it comes down to."""

    key: str
    text: str
    comparisons: tuple[Comparison, ...]
    rule: str = BY_PHASE


def ask(question: Question, evidence: Evidence, more: Iterable[Finding] = ()) -> Answer:
    """Compare in every block, and sum up; ``more`` are findings of the claim's other halves."""
    findings = [*once(question.key, question.comparisons, evidence), *more]
    return answer(
        question.key,
        question.text,
        question.rule,
        findings,
        table(question.comparisons, evidence),
    )


def table(comparisons: Iterable[Comparison], evidence: Evidence) -> str:
    """The first table with a measure that is compared; empty if none has one."""
    keys = [
        f"{c.measure}_{phase}" if phase else c.measure
        for c in comparisons
        for phase in c.phases or ("",)
    ]
    return next(filter(None, map(evidence.table_of, keys)), "")


def once(key: str, comparisons: Iterable[Comparison], evidence: Evidence) -> list[Finding]:
    """The findings; outcomes that rest on the same runs twice (tuned rate = shared) count once."""
    seen: set[tuple[object, ...]] = set()
    found = []
    for comparison in comparisons:
        for finding in find(key, comparison, evidence):
            rests_on = _rests_on(comparison, finding, evidence)
            repeated = rests_on is not None and rests_on in seen
            found.append(_counted_once(finding) if repeated else finding)
            seen |= {rests_on} if rests_on is not None else set()
    return found


def _rests_on(
    comparison: Comparison, finding: Finding, evidence: Evidence
) -> tuple[object, ...] | None:
    """The runs, the numbers and the limit of an outcome's comparison; None where it has none."""
    if comparison.phases or finding.state in ("not estimable", "shown"):
        return None
    names = [str(evidence.label(n)) for n in (comparison.subject, comparison.reference)]
    block = next(b for b in evidence.blocks if b.name == finding.block)
    runs = evidence.runs_behind(comparison.measure, block, names)
    value = evidence.columns[comparison.measure][1].value
    own = (value, block.name, *names, comparison.side, comparison.limit, runs)
    return own if runs else None


def _counted_once(finding: Finding) -> Finding:
    sentence: Sentence = (
        Label(finding.block),
        f": {finding.measure}: the same runs at the same rate as above, counted once",
    )
    return replace(finding, state="shown", claim=Claim(sentence))


def answer(key: str, text: str, rule: str, findings: list[Finding], table: str) -> Answer:
    """An answer whose verdict counts its findings, each reason for having none once."""
    findings = list(dict.fromkeys(findings))
    return Answer(
        key=key,
        question=text,
        rule=rule,
        verdict=tally(key, findings),
        claims=list(dict.fromkeys(finding.claim for finding in findings)),
        table=table,
        findings=tuple(findings),
    )
