"""Sentences and numbers as the report prints them."""

from analysis.text import numbers
from analysis.text.numbers import DIVERGED, MISSING, significant, triple
from analysis.text.quotes import QUOTES, Quote
from analysis.text.sentences import (
    TESTED,
    Answer,
    Claim,
    Finding,
    Label,
    Number,
    Part,
    Sentence,
    State,
    count,
    counted,
    numbers_in,
)
from analysis.text.short_labels import in_answer, labels_of, short_labels, shorten

__all__ = [
    "DIVERGED",
    "MISSING",
    "QUOTES",
    "TESTED",
    "Answer",
    "Claim",
    "Finding",
    "Label",
    "Number",
    "Part",
    "Quote",
    "Sentence",
    "State",
    "count",
    "counted",
    "in_answer",
    "labels_of",
    "numbers",
    "numbers_in",
    "short_labels",
    "shorten",
    "significant",
    "triple",
]
