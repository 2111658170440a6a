"""The first screen of the report, and which figure stands beside which answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from analysis.answers import Matrix, matrix, summary
from analysis.study import Study, names
from analysis.text import QUOTES, Answer, Claim, Label, Part, Quote, Sentence, count

if TYPE_CHECKING:
    from analysis.render.page import Shown

FIRST = ("training_loss", "forest_steps_to_target", "profile")
BESIDE: Mapping[str, tuple[str, ...]] = {
    "C1": ("lr_sensitivity", "forest_steps_to_target"),
    "C2": ("moment_speed_mean",),
    "C3": ("test_accuracy", "test_loss"),
    "C5": ("ics_depth_relative",),
    "C6": ("heatmap_landscape_loss_range",),
    "C7": ("forest_landscape_gradient_difference",),
    "C8": ("effective_beta",),
    "Q1": ("activations_",),
    "Q8": ("speed_landscape_scaled_beta", "speed_"),
    "Q5": ("heatmap_final_train_loss",),
}
"""By answer, starts of names of figures that show it, the best first."""
_CHOICE = ("C1", "C6", "C7", "C8", "C2", "C5", "Q8", "C3", "Q1", "Q5")
"""Answers that get a figure of their own, the first first, until there are `MOST`."""
MOST = 8
"""Figures outside “all figures”, the first screen's included."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The claims of one block, under a heading that links reach."""

    anchor: str
    block: str
    claims: list[Claim]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An answer, its evidence by block, and the figure beside it if there is one."""

    answer: Answer
    evidence: list[Evidence]
    figure: Shown | None = None

    @property
    def quote(self) -> Quote | None:
        """The words that the answer is to; None where they have not been checked."""
        return QUOTES.get(self.answer.key)

    @property
    def estimable(self) -> bool:
        """Whether something was found, if only that it is undecided."""
        states = {finding.state for finding in self.answer.findings}
        start = str(self.answer.verdict[0]) if self.answer.verdict else ""
        return states != {"not estimable"} and not start.startswith("Not estimable")


@dataclass(frozen=True, kw_only=True)
class FirstScreen:
    """What was run, what was found, the verdict matrix, and one figure."""

    ran: Sentence
    findings: list[Sentence] = field(default_factory=list)
    matrix: Matrix
    figure: Shown | None = None


def first_screen(
    study: Study, ended: Sentence, answers: Sequence[Answer], figures: Sequence[Shown]
) -> FirstScreen:
    """Compose it."""
    return FirstScreen(
        ran=_ran(study),
        findings=summary(answers, ended) if answers else [],
        matrix=matrix(answers),
        figure=_named(FIRST, figures, set()),
    )


def asked(answers: Sequence[Answer], figures: Sequence[Shown], first: Shown | None) -> list[Asked]:
    """Every answer with its evidence, the most telling ones with a figure beside."""
    taken = {first.name} if first else set[str]()
    beside: dict[str, Shown] = {}
    for key in _CHOICE:
        figure = _named(BESIDE[key], figures, taken)
        if figure and len(taken) < MOST and key in {answer.key for answer in answers}:
            beside[key] = figure
            taken.add(figure.name)
    return [
        Asked(answer=answer, evidence=_evidence(answer), figure=beside.get(answer.key))
        for answer in answers
    ]


def _named(starts: Sequence[str], figures: Sequence[Shown], taken: set[str]) -> Shown | None:
    fitting = [f for start in starts for f in figures if f.name.startswith(start)]
    return next((figure for figure in fitting if figure.name not in taken), None)


def _evidence(answer: Answer) -> list[Evidence]:
    """Claims by block, in order; those that no finding has stand first."""
    block_of = {finding.claim: finding.block for finding in answer.findings}
    groups: dict[str, list[Claim]] = {}
    for claim in answer.claims:
        groups.setdefault(block_of.get(claim, ""), []).append(claim)
    return [
        Evidence(anchor=anchor(answer.key, block), block=block, claims=claims)
        for block, claims in sorted(groups.items(), key=lambda item: item[0] != "")
    ]


def anchor(key: str, block: str) -> str:
    """The id of an answer's evidence in a block."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", block).strip("-")
    return f"{key}-{words}" if words else f"{key}-evidence"


def _ran(study: Study) -> Sentence:
    """``90 runs of quickstart on digits: 3 architectures, 5 normalizers, …``, in one line."""
    runs = study.runs
    sentence: list[Part] = [count("runs", len(runs)), " runs of "]
    sentence += _joined(study.sweeps)
    if runs.empty:
        return (*sentence, ".")
    sentence += [" on ", *_joined(names(runs["data"])), ": "]
    for i, column in enumerate(("architecture", "normalizer", "lr", "seed")):
        number = runs[column].astype(str).nunique()
        word = {"lr": "learning rate"}.get(column, column) + ("" if number == 1 else "s")
        sentence += [" × " if i else "", count(f"ran/{column}", number), f" {word}"]
    steps = sorted({int(n) for n in pd.to_numeric(runs["steps"]).dropna()})
    sentence += [
        ", ",
        count("ran/steps", steps[-1]),
        " steps" if len(steps) == 1 else " steps at most",
    ]
    return (*sentence, ".")


def _joined(labels: Sequence[str]) -> list[Part]:
    parts: list[Part] = [part for label in labels for part in (", ", Label(str(label)))]
    return parts[1:]
