"""What tables 1–3 let the report say at a glance: ``none`` against ``batch``, worded by rule."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.load import Study
from analysis.prose import Answer, Claim, Label, Number, Part, Sentence, count
from analysis.render.numbers import triple
from analysis.tables import Measure, Table

SUBJECT, REFERENCE = "none", "batch"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question that one measure answers.

    Attributes:
        larger, smaller: the verb between ``none`` and ``batch`` for a ratio above and below 1.
        of: what the ratio is a ratio of.
        plateau: whether a run that never left its initial loss makes the answer void.
    """

    text: str
    measure: str
    larger: str
    smaller: str
    of: str
    plateau: bool = True


QUESTIONS = (
    Question(
        text="Does training without a normalizer take longer?",
        measure="steps_to_target",
        larger="takes longer than",
        smaller="is faster than",
        of="the steps to the target loss",
        plateau=False,
    ),
    Question(
        text="How often does training diverge?",
        measure="divergence_rate",
        larger="",
        smaller="",
        of="",
        plateau=False,
    ),
    Question(
        text="Is there more internal covariate shift without a normalizer?",
        measure="gradient_ics_relative_early",
        larger="shifts more than",
        smaller="shifts less than",
        of="the relative gradient ICS in the first half of training",
    ),
    Question(
        text="Is the loss rougher along the gradient without a normalizer?",
        measure="landscape_loss_range_relative_early",
        larger="is rougher than",
        smaller="is smoother than",
        of="the relative loss range in the first half of training",
    ),
    Question(
        text="Are gradients less predictable without a normalizer?",
        measure="landscape_gradient_difference_relative_early",
        larger="has less predictable gradients than",
        smaller="has more predictable gradients than",
        of="the relative gradient change in the first half of training",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The cells of ``none`` and ``batch`` in one block, and how their runs ended."""

    block: str
    measure: Measure
    subject: Mapping[Hashable, Any]
    reference: Mapping[Hashable, Any]
    runs: pd.DataFrame

    def key(self, *words: str) -> str:
        """Key of a number in results.json."""
        return "/".join([self.block, self.measure.key, *words])


def build(study: Study, tables: Sequence[Table]) -> list[Answer]:
    """Answer every question for every block that the tables have."""
    return [_answer(question, study, tables) for question in QUESTIONS]


def _answer(question: Question, study: Study, tables: Sequence[Table]) -> Answer:
    for table in tables:
        for measure in table.measures:
            if measure.key == question.measure:
                pairs = _pairs(table, measure, study.runs)
                say = _divergence if question.measure == "divergence_rate" else _ratio
                claims = [say(question, pair) for pair in pairs] or [_no_pair(table)]
                return Answer(question=question.text, table=table.name, claims=claims)
    nothing = Claim(("not estimable: no run of the study has what it takes",))
    return Answer(question=question.text, table="", claims=[nothing])


def _no_pair(table: Table) -> Claim:
    missing = [name for name in (SUBJECT, REFERENCE) if name not in set(table.cells["normalizer"])]
    if missing:
        return Claim(("not estimable: the study has no ", Label(missing[0])))
    return Claim(("not estimable: no block has both ", Label(SUBJECT), " and ", Label(REFERENCE)))


def _pairs(table: Table, measure: Measure, runs: pd.DataFrame) -> list[Pair]:
    cells = table.cells[table.cells["measure"] == measure.key]
    blocks = [key for key in table.keys if key != "normalizer"]
    found = []
    for names, rows in cells.groupby(blocks, sort=False, observed=True):
        by_name = {cell["normalizer"]: cell for cell in rows.to_dict("records")}
        if SUBJECT in by_name and REFERENCE in by_name:
            where = dict(zip(blocks, names, strict=True))
            own = runs[(runs[blocks].astype(str) == pd.Series(where).astype(str)).all(axis=1)]
            pair = (by_name[SUBJECT], by_name[REFERENCE])
            found.append(_pair(where, measure, pair, own))
    return found


def _pair(
    where: Mapping[str, Any],
    measure: Measure,
    pair: tuple[Mapping[Hashable, Any], Mapping[Hashable, Any]],
    runs: pd.DataFrame,
) -> Pair:
    return Pair(
        block=" · ".join(str(name) for name in where.values() if str(name)),
        measure=measure,
        subject=pair[0],
        reference=pair[1],
        runs=runs,
    )


def _ratio(question: Question, pair: Pair) -> Claim:
    start: Sentence = (Label(pair.block), ": ")
    if reason := _void(question, pair):
        return Claim((*start, *reason), _troubles(pair))
    low, high = pair.subject["effect_low"], pair.subject["effect_high"]
    ratio = _estimate(pair, (SUBJECT, "over", REFERENCE), (pair.subject["effect"], low, high))
    names: Sentence = (Label(SUBJECT), f" {_verb(question, pair)} ", Label(REFERENCE))
    few = () if math.isfinite(low) else (", too few for an interval of the ratio",)
    evidence: Sentence = (
        *_cell(pair, SUBJECT, pair.subject),
        " against ",
        *_cell(pair, REFERENCE, pair.reference),
        "; pairs of runs: ",
        count(pair.key("pairs"), int(pair.subject["pairs"])),
        *few,
        *(("; ", *troubles) if (troubles := _troubles(pair)) else ()),
    )
    return Claim((*start, *names, ", ", *ratio, f" times {question.of}"), evidence)


def _void(question: Question, pair: Pair) -> Sentence:
    """Why a block has no answer; empty where it has one."""
    for name, cell in ((SUBJECT, pair.subject), (REFERENCE, pair.reference)):
        if not math.isfinite(cell["estimate"]):
            return ("not estimable: no run of ", Label(name), " has it")
        stuck = pair.runs.loc[pair.runs["normalizer"] == name, "stuck"].astype(bool)
        if question.plateau and stuck.mean() >= 0.5:
            return (
                "no answer: half or more of the runs of ",
                Label(name),
                " never left their initial loss, where any landscape looks smooth",
            )
    if not math.isfinite(pair.subject["effect"]):
        return ("not estimable: no run of one is paired with a run of the other",)
    return ()


def _verb(question: Question, pair: Pair) -> str:
    """By the ratio's interval; without one, by whether the estimates' intervals are disjoint."""
    low, high = pair.subject["effect_low"], pair.subject["effect_high"]
    if not math.isfinite(low):
        low = _over(pair.subject["low"], pair.reference["high"])
        high = _over(pair.subject["high"], pair.reference["low"])
    if low > 1:
        return question.larger
    return question.smaller if high < 1 else "cannot be told from"


def _over(one: float, other: float) -> float:
    return one / other if other > 0 else math.nan


def _cell(pair: Pair, name: str, cell: Mapping[Hashable, Any]) -> Sentence:
    return _estimate(pair, (name,), (cell["estimate"], cell["low"], cell["high"]))


def _estimate(pair: Pair, words: tuple[str, ...], values: tuple[float, float, float]) -> Sentence:
    """``0.123 [0.110, 0.140]``, each of them a number with its key."""
    texts = triple(*values, pair.measure.digits)
    center, low, high = (
        Number(pair.key(*words, part), float(value), text)
        for part, value, text in zip(("estimate", "low", "high"), values, texts, strict=True)
    )
    if not (math.isfinite(low.value) and math.isfinite(high.value)):
        return (center,)
    return (center, " [", low, ", ", high, "]")


def _divergence(question: Question, pair: Pair) -> Claim:
    one, other = _diverged(pair, SUBJECT, pair.subject), _diverged(pair, REFERENCE, pair.reference)
    return Claim((Label(pair.block), ": ", *one, ", ", *other))


def _diverged(pair: Pair, name: str, cell: Mapping[Hashable, Any]) -> Sentence:
    if not math.isfinite(cell["estimate"]):
        return (Label(name), " not estimable: no finished run")
    return (
        Label(name),
        " in ",
        count(pair.key(name, "diverged"), round(cell["estimate"] * cell["n"] / 100)),
        " of ",
        count(pair.key(name, "runs"), int(cell["n"])),
        " runs (",
        *_cell(pair, name, cell),
        f" {pair.measure.unit})",
    )


def _troubles(pair: Pair) -> Sentence:
    """How many runs diverged or never left their initial loss, where any did."""
    parts: list[Part] = []
    for name in (SUBJECT, REFERENCE):
        runs = pair.runs[pair.runs["normalizer"] == name]
        counts = {
            "diverged": int((runs["status"] == "diverged").sum()),
            "stuck": int(runs["stuck"].astype(bool).sum()),
        }
        for what, number in counts.items():
            if number:
                parts += ["; ", count(f"{pair.block}/runs/{name}/{what}", number), " of "]
                parts += [count(f"{pair.block}/runs/{name}", len(runs)), " runs of ", Label(name)]
                parts += [f" {what}"]
    return tuple(parts[1:])
