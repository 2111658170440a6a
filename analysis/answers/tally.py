"""From findings to the first line of an answer: where the claim holds, half by half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.answers.effects import effects_named
from analysis.text import Finding, Label, Number, Part, Sentence, State, count, counted

PHASES = {"early": "early", "late": "late", "loss": "at matched loss"}
"""When a measure is read, in words: 5–25 % of the run, its second half, at the block's target."""

_STATES: tuple[State, ...] = ("supported", "contradicted", "open", "not estimable")


def tally(key: str, findings: Sequence[Finding]) -> Sentence:
    """The verdict over all findings, one for each part of the claim."""
    parts = list(dict.fromkeys(f.part for f in findings if f.state != "shown"))
    built: Sentence = ()
    for part in parts:
        own = [f for f in findings if f.part == part]
        title = f"{part[:1].upper()}{part[1:]}: " if part else ""
        sentence = _part(f"answers/{key}{f'/{part}' if part else ''}", own, title)
        built = (*built, *((" ",) if built else ()), *sentence)
    return built or ("Not estimable.",)


def _part(stem: str, findings: Sequence[Finding], title: str) -> Sentence:
    counts: dict[State, int] = {state: sum(f.state == state for f in findings) for state in _STATES}
    tested = sum(counts.values()) - counts["not estimable"]
    if not tested:
        return (f"{title}not estimable." if title else "Not estimable.",)
    word = headline(counts)
    start = f"{title}{word[0].lower()}{word[1:]}" if title else word
    decided = {f.phase for f in findings if f.state in _DECIDED}
    phases = [phase for phase in ("", *PHASES) if phase in decided]
    built: Sentence = (start,)
    for i, phase in enumerate(phases):
        own = [f for f in findings if f.phase == phase and f.state in (*_DECIDED, "open")]
        built = (*built, "; " if i else ": ", *_in_phase(stem, phase, own))
    return (*built, *_rest(stem, counts), ".")


_DECIDED: dict[State, str] = {"supported": "as claimed in ", "contradicted": "against it in "}


def _in_phase(stem: str, phase: str, findings: Sequence[Finding]) -> Sentence:
    """``late as claimed in 2 of 6 comparisons (vgg11 at LR 0.1), ratio …, against it in 1 (…)``."""
    stem = f"{stem}/{phase}" if phase else stem
    built: Sentence = (f"{PHASES[phase]} ",) if phase else ()
    of: Sentence = (" of ", *counted(f"{stem}/tested", len(findings), "comparison"))
    for state, words in _DECIDED.items():
        own = [f for f in findings if f.state == state]
        if own:
            built = (
                *built,
                *((", ",) if not of else ()),
                words,
                count(f"{stem}/{state}", len(own)),
            )
            built = (*built, *of, *_places(stem, own, findings))
            built, of = (*built, *effects_named(f"{stem}/{state}", own)), ()
    return built


def _places(stem: str, own: Sequence[Finding], tested: Sequence[Finding]) -> Sentence:
    """The blocks, and their rates where not all that were tested; for one measure alone."""
    if not own or len({f.measure for f in tested}) > 1 or len(own) == len(tested):
        return ()
    parts: list[Part] = []
    for block in dict.fromkeys(f.block for f in own if f.block):
        rates = sorted(f.lr for f in own if f.block == block and np.isfinite(f.lr))
        parts += ["; " if parts else " (", Label(block)]
        if rates and len(rates) < sum(f.block == block for f in tested):
            parts += [" at LR ", *_rates(f"{stem}/{own[0].state}/{block}", rates)]
    return (*parts, ")") if parts else ()


def _rates(stem: str, rates: Sequence[float]) -> list[Part]:
    parts: list[Part] = []
    for i, rate in enumerate(rates):
        parts += [", " if i else "", Number(f"{stem}/lr/{i}", rate, f"{rate:g}")]
    return parts


def _rest(stem: str, counts: dict[State, int]) -> Sentence:
    """How many comparisons decide nothing."""
    built: Sentence = ()
    if not any(counts[state] for state in _DECIDED):
        built = (" in ", *counted(f"{stem}/open", counts["open"], "comparison"))
        counts = {**counts, "open": 0}
    idle: tuple[tuple[State, str], ...] = (
        ("open", "undecided"),
        ("not estimable", "not estimable"),
    )
    for state, word in idle:
        if counts[state]:
            built = (*built, f"; {word} in ", count(f"{stem}/{state}", counts[state]))
    return built


def headline(counts: dict[State, int]) -> str:
    """One or two words for the counts of the states."""
    tested = counts["supported"] + counts["contradicted"] + counts["open"]
    if counts["supported"] == tested:
        return "Supported"
    if counts["contradicted"] == tested:
        return "Contradicted"
    if counts["supported"] and not counts["contradicted"]:
        return "Supported in part"
    if counts["contradicted"] and not counts["supported"]:
        return "Contradicted in part"
    return "Mixed" if counts["supported"] else "Undecided"
