"""What a measure is: a column of a table, and where its number comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

When = Literal["early", "late", "loss", "end"]

_WHEN: dict[When, tuple[str, str]] = {
    "early": (
        ", early",
        "Mean over the probes from 5 to 25 % of the planned steps, those on the plateau left out.",
    ),
    "late": (
        ", late",
        "Mean over the probes of the second half of the planned steps, those on the plateau left "
        "out.",
    ),
    "loss": (
        ", at matched loss",
        "At the first probe after the smoothed training loss fell to the block's level.",
    ),
    "end": ("", "At the last probe."),
}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column of a table."""

    key: str
    """Of a probed measure: its column in the record table."""
    name: str = ""
    """Its key in the report's tables, where the record's is less clear."""
    title: str
    unit: str = ""
    digits: int = 3
    """Significant digits to print."""
    better: Literal["lower", "higher"] | None = None
    rescales: bool = False
    """Changes under w → c·w of weights before a normalizer, which changes no output."""
    definition: str
    contrast: Literal["ratio", "difference"] = "ratio"
    """How two normalizers are compared: by the ratio of positive values, or by the difference."""
    least: float = 0.0
    most: float = math.inf
    """Bounds of the quantity: no interval is printed beyond them."""

    @property
    def effect_unit(self) -> str:
        """Unit of a comparison of two normalizers: ``×`` for a ratio; a difference keeps its own.

        Per cents differ by points.
        """
        if self.contrast == "ratio":
            return "×"
        return "points" if self.unit == "%" else self.unit


@dataclass(frozen=True, kw_only=True)
class Probed:
    """A measure that is read from probe records: a column of a view of them, at a time.

    Attributes:
        record: the view (`analysis.reductions.record_views.VIEWS`). column: of the record table.
        quantity: the measure's title without the time.
    """

    record: str
    column: str
    when: When
    quantity: str
    measure: Measure


def probed(record: str, measure: Measure, *times: When) -> list[Probed]:
    """A quantity at some times; its key is its column in the record table."""
    return [
        Probed(
            record=record,
            column=measure.key,
            when=when,
            quantity=measure.title,
            measure=replace(
                measure,
                key=f"{record}_{measure.name or measure.key}_{when}",
                title=f"{measure.title}{_WHEN[when][0]}",
                definition=f"{measure.definition} {_WHEN[when][1]}",
            ),
        )
        for when in times
    ]
