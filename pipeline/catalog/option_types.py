"""Bounded types for the options of parts: what is wrong is said when the sweep file is read.

A part annotates an option with one of these names, ``lengths: AtLeastOne = 8``; `pipeline.catalog`
finds it here by that name, without importing the part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from pipeline.cli import quoted

__all__ = [
    "AtLeastOne",
    "Betas",
    "Decay",
    "Fraction",
    "NonEmpty",
    "NonNegative",
    "Positive",
    "Span",
]

X = TypeVar("X")


def _ascending(span: Sequence[float]) -> Sequence[float]:
    if len(span) != 2 or not 0 < span[0] <= span[1]:
        raise ValueError(f"must be two ascending numbers above 0, not {quoted(list(span))}")
    return span


AtLeastOne = Annotated[int, Field(ge=1)]
"""1, 2, 3, …"""
Positive = Annotated[float, Field(gt=0)]
"""Above 0."""
NonNegative = Annotated[float, Field(ge=0)]
"""At least 0."""
Fraction = Annotated[float, Field(gt=0, lt=1)]
"""Between 0 and 1, both excluded."""
Decay = Annotated[float, Field(ge=0, lt=1)]
"""The weight of the past in a running average: from 0, to below 1."""
Betas = Annotated[Sequence[Decay], Field(min_length=2, max_length=2)]
"""Two such weights, of two running averages."""
Span = Annotated[Sequence[float], AfterValidator(_ascending)]
"""The two ends of a range of positive numbers."""
NonEmpty = Annotated[Sequence[X], Field(min_length=1)]
"""A list of at least one X."""
