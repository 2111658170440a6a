"""A claim made of comparisons becomes an answer."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.answers.comparison import Comparison, Finding, find, tally
from analysis.answers.evidence import Evidence
from analysis.text.sentences import Answer

BY_INTERVAL = (
    "A comparison is as claimed if the whole interval of the paired effect is on the claim's side "
    "of the limit, against it if wholly on the other, else undecided; with too few pairs for an "
    "interval, the two estimates' own intervals have to be that far apart."
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A claim, and the comparisons that it comes down to."""

    key: str
    text: str
    comparisons: tuple[Comparison, ...]
    rule: str = BY_INTERVAL


def ask(question: Question, evidence: Evidence) -> Answer:
    """Compare in every block, and sum up."""
    found = [(c, find(question.key, c, evidence)) for c in question.comparisons]
    findings = [finding for _, own in found for finding in own]
    tables = [evidence.table_of(c.measure) for c, own in found if own]
    return answer(
        question.key, question.text, question.rule, findings, next(filter(None, tables), "")
    )


def answer(key: str, text: str, rule: str, findings: list[Finding], table: str) -> Answer:
    """An answer whose verdict counts its findings, each reason for having none once."""
    findings = list(dict.fromkeys(findings))
    return Answer(
        key=key,
        question=text,
        rule=rule,
        verdict=tally(key, findings),
        claims=[finding.claim for finding in findings],
        table=table,
    )
