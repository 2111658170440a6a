"""A figure of the report: what is said about it, and how to draw it when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure, drawn lazily so that only one at a time is in memory.

    Attributes:
        name: of its files: letters, digits, hyphens and underscores.
        title: what it shows, in a few words.
        caption: what the lines and bands are. ``{runs}`` and the like stand for ``numbers``.
        numbers: every count that the caption states, by name.
        draw: draws it; the caller saves and drops the drawing.
    """

    name: str
    title: str
    caption: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    draw: Callable[[], Drawing]

    @property
    def legend(self) -> str:
        """The caption with its numbers filled in."""
        text = self.caption
        for name, value in self.numbers.items():
            text = text.replace("{" + name + "}", str(value))
        return text
