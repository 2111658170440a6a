"""What the report says, in the order in which it says it, before any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.comparison import Against
from analysis.render.first_screen import Asked, FirstScreen, asked, first_screen
from analysis.render.table_layout import Sheet, head
from analysis.study import Study
from analysis.tables import Table
from analysis.text import (
    Answer,
    Label,
    Number,
    Part,
    Sentence,
    count,
    in_answer,
    labels_of,
    numbers_in,
)

GLANCE = (
    "What the paper claims (C), its critics (K) and its reviewers ask (Q), each answered from the "
    "tables in words chosen by rule. Brackets hold 95 % intervals."
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A figure that has been drawn.

    Attributes:
        file: its SVG, relative to the report's folder. files: names and places of all its files.
    """

    name: str
    title: str
    caption: str
    numbers: Mapping[str, int]
    file: str
    files: tuple[tuple[str, str], ...]
    svg: str


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """The measures of one table, each with its definition."""

    title: str
    entries: list[tuple[str, str]]


@dataclass(frozen=True)
class Health:
    """How the planned cells ended.

    Attributes:
        rows: of `tables.health`. totals: of `tables.totals`. trainings: finished ones.
    """

    rows: pd.DataFrame
    totals: Mapping[str, int]
    trainings: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Another sweep compared with the report's: `analysis.comparison.Against`, laid out."""

    against: Against
    sheet: Sheet

    def spoken(self) -> list[Sentence]:
        """All sentences of the section."""
        return [*self.against.sentences, *(claim.verdict for claim in self.against.claims)]


@dataclass(frozen=True, kw_only=True)
class Page:
    """The report; formats lay it out and add nothing."""

    title: str
    lead: list[Sentence]
    glance: str
    first: FirstScreen
    asked: list[Asked]
    key: list[tuple[str, str]]
    """Short labels of architectures, and what they stand for."""
    health_sentences: list[Sentence]
    health: pd.DataFrame
    problems: list[str]
    sheets: list[Sheet]
    figures: list[Shown]
    definitions: list[Definitions]
    provenance: list[tuple[str, str]]
    compared: Compared | None

    @property
    def answers(self) -> list[Answer]:
        """The answers, in order."""
        return [each.answer for each in self.asked]

    @property
    def more_figures(self) -> list[Shown]:
        """Figures that stand neither on the first screen nor beside an answer."""
        first = [self.first.figure.name] if self.first.figure else []
        beside = [each.figure.name for each in self.asked if each.figure]
        return [figure for figure in self.figures if figure.name not in {*first, *beside}]

    def table_title(self, name: str) -> str:
        """Title of a table that an answer rests on."""
        return next(sheet.title for sheet in self.sheets if sheet.name == name)

    def numbers(self) -> dict[str, Number]:
        """Every number of the prose, by its key."""
        compared = self.compared.spoken() if self.compared else []
        cells = [cell.sentence for row in self.first.matrix.rows for cell in row.cells]
        first = [self.first.ran, *self.first.findings, *cells]
        return numbers_in([*self.lead, *first, *self.spoken(), *self.health_sentences, *compared])

    def spoken(self) -> list[Sentence]:
        """All sentences of the answers."""
        claims = [claim for answer in self.answers for claim in answer.claims]
        verdicts = [answer.verdict for answer in self.answers]
        return [*verdicts, *(part for claim in claims for part in (claim.verdict, claim.evidence))]


def compose(
    study: Study,
    health: Health,
    tables: Sequence[Table],
    sheets: Sequence[Sheet],
    answers: Sequence[Answer],
    figures: Sequence[Shown],
    compared: Compared | None = None,
) -> Page:
    """Put the report together."""
    studies = [study, *([compared.against.other] if compared else [])]
    known = labels_of(study)
    short = [in_answer(answer, known) for answer in answers]
    first = first_screen(study, _ended(health.totals), short, figures)
    return Page(
        title="normscope: " + ", ".join(study.sweeps),
        lead=[_lead(study, health.trainings)],
        glance=GLANCE,
        first=first,
        asked=asked(short, figures, first.figure),
        key=[(name, label) for label, name in known.items() if name != label],
        health_sentences=_health(health, study),
        health=health.rows,
        problems=[line for each in studies for line in (*each.notes, *each.problems)],
        sheets=list(sheets),
        figures=list(figures),
        definitions=[_definitions(table) for table in tables],
        provenance=[(name, _plain(value)) for name, value in sorted(study.provenance.items())],
        compared=compared,
    )


def _lead(study: Study, trainings: int) -> Sentence:
    names: list[Part] = []
    for sweep in study.sweeps:
        names += [", ", Label(sweep)]
    return (
        "How normalization layers change the training of deep networks: internal covariate shift "
        "(ICS), smoothness of the loss, and what training gains, measured in ",
        count("runs", trainings),
        " runs of ",
        *names[1:],
        ". Every number in the text is in results.json under its own key.",
    )


def _ended(total: Mapping[str, int]) -> Sentence:
    """How the runs ended, in one sentence for the first screen."""
    lost = total["planned"] - total["ok"] - total["diverged"]
    return (
        "Of ",
        count("ended/planned", total["planned"]),
        " planned runs, ",
        count("ended/diverged", total["diverged"]),
        " diverged, ",
        count("ended/stuck", total["stuck"]),
        " ended at the loss at chance, and ",
        count("ended/lost", lost),
        " have no full result.",
    )


def _health(health: Health, study: Study) -> list[Sentence]:
    totals = {name: count(f"health/{name}", value) for name, value in health.totals.items()}
    return [
        (
            totals["planned"],
            " cells planned = ",
            totals["ok"],
            " ok + ",
            totals["diverged"],
            " diverged + ",
            totals["time_limit"],
            " cut by their time limit + ",
            totals["failed"],
            " failed + ",
            totals["absent"],
            " absent. Of the ok ones, ",
            totals["stuck"],
            " are stuck: they end above nineteen twentieths of the loss at chance, that of the "
            "best constant prediction. A diverged run is an outcome and is never dropped; failed "
            "and absent cells are missing data.",
        ),
        *_shared(health, study),
    ]


def _shared(health: Health, study: Study) -> list[Sentence]:
    """What does not add up at first sight: cells of several sweeps, and of one training."""
    sentences: list[Sentence] = []
    if len(study.planned) > health.totals["planned"]:
        repeated = study.planned["cell_id"].duplicated(keep=False)
        number = study.planned.loc[repeated, "cell_id"].nunique()
        shared = count("health/shared", int(number))
        sentences.append((shared, " cells belong to several sweeps; each sweep's rows count them."))
    if len(study.runs) > health.trainings:
        sentences.append(
            (
                count("health/finished", len(study.runs)),
                " finished cells are ",
                count("health/trainings", health.trainings),
                " trainings: cells that differ in their probes alone are one, and count once.",
            )
        )
    return sentences


def _definitions(table: Table) -> Definitions:
    entries = [(head(measure), measure.definition) for measure in table.measures]
    return Definitions(title=table.title, entries=entries)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "not known"
    return str(value)
