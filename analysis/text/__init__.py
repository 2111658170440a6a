"""Sentences and numbers as the report prints them."""

from analysis.text import numbers
from analysis.text.numbers import DIVERGED, MISSING, significant, triple
from analysis.text.quotes import QUOTES, Quote
from analysis.text.sentences import (
    Answer,
    Claim,
    Finding,
    Label,
    Number,
    Part,
    Sentence,
    State,
    count,
    numbers_in,
)
from analysis.text.short_labels import in_answer, labels_of, short_labels, shorten

__all__ = [
    "DIVERGED",
    "MISSING",
    "QUOTES",
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
    "in_answer",
    "labels_of",
    "numbers",
    "numbers_in",
    "short_labels",
    "shorten",
    "significant",
    "triple",
]
