"""Prose whose numbers are data: each has a key, and is in results.json under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


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


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A question, a claim for every block of the study, and the table with the numbers."""

    question: str
    table: str
    claims: list[Claim]


def count(key: str, value: int) -> Number:
    """A whole number, printed in full."""
    return Number(key, value, str(value))


def said(sentences: Iterable[Sentence]) -> dict[str, Number]:
    """Every number of some sentences, by key."""
    return {part.key: part for parts in sentences for part in parts if isinstance(part, Number)}
