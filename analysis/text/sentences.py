"""Prose whose numbers are data: each has a key, and is in results.json under it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Number:
    """A number in a sentence: its key in results.json, its value, and how it is printed."""

    key: str
    value: float
    text: str


@dataclass(frozen=True)
class Label:
    """A name that a user gave: an architecture, a normalizer, a sweep."""

    text: str


Part = str | Label | Number
Sentence = tuple[Part, ...]
"""A plain part holds no digit: what is a number is a `Number`."""


@dataclass(frozen=True)
class Claim:
    """What is said of one block of the study, and what it rests on."""

    verdict: Sentence
    evidence: Sentence = ()


State = Literal["supported", "contradicted", "open", "not estimable", "shown"]
TESTED: tuple[State, ...] = ("supported", "contradicted", "open")
"""States of a finding that was tested, decided or not."""
"""What a finding does to a claim; ``shown`` is a number that no claim is about."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one comparison finds in one block; of a probed measure, in one phase at one rate.

    Attributes:
        claim: the sentence that says it; the rates of one phase share theirs.
        part: which half of the claim it is about, in words; empty where the claim is one.
        measure: the measure's title without its phase. block: name of the block. phase: early,
        late or loss; empty for outcomes. lr: the rate; NaN where rates are chosen or pooled.
        effect, low, high: the ratio or difference and the interval that decides. unit: of these
        three, ``×`` for a ratio. pairs: of runs.
    """

    state: State
    claim: Claim
    part: str = ""
    measure: str = ""
    block: str = ""
    phase: str = ""
    lr: float = math.nan
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    pairs: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A claim or question, what is found of it, and the table that it rests on.

    Attributes:
        key: C1 … Q9. rule: when the verdict is what it is. table: its name, or empty. findings:
        the cells of the verdict, by part, block, phase and learning rate.
    """

    key: str
    question: str
    rule: str
    verdict: Sentence
    claims: list[Claim]
    table: str = ""
    findings: tuple[Finding, ...] = ()


def count(key: str, value: int) -> Number:
    """A whole number, printed in full."""
    return Number(key, value, str(value))


def counted(key: str, value: int, noun: str) -> Sentence:
    """A whole number and what it counts: ``1 comparison``, ``2 comparisons``."""
    return (count(key, value), f" {noun}" if value == 1 else f" {noun}s")


def numbers_in(sentences: Iterable[Sentence]) -> dict[str, Number]:
    """Every number of some sentences, by key."""
    return {part.key: part for parts in sentences for part in parts if isinstance(part, Number)}
