"""How the figures look: one look a normalizer through all of them, readable without colour.

The colours are Okabe and Ito's (2008), made to be told apart by colour-blind readers, without their
yellow, which white paper swallows. Colours, dashes and markers cycle with periods 6, 5 and 7, which
share no factor: the first 35 normalizers differ by dash or marker alone, so in greyscale too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from analysis.study import label_order

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ((), (5, 1.5), (1.5, 1.2), (6, 1.5, 1.5, 1.5), (9, 2.5))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK = "#1a1a1a"
GREY = "#d4d4d4"

RC: dict[str, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-3, 5),
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
"""Matplotlib's settings for every figure; text stays text in SVG and PDF, and a ``$`` a ``$``."""


@dataclass(frozen=True)
class Look:
    """Colour, dash pattern (empty: solid) and marker of one normalizer."""

    color: str
    dashes: tuple[float, ...]
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of a matplotlib line."""
        style = (0, self.dashes) if self.dashes else "-"
        return {"color": self.color, "linestyle": style, "marker": self.marker}


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Give each normalizer its look, in reading order; ``none`` is black."""
    others = [label for label in label_order.names(labels) if label != "none"]
    cycled = {
        label: Look(
            COLORS[i % len(COLORS)], DASHES[(i + 1) % len(DASHES)], MARKERS[(i + 1) % len(MARKERS)]
        )
        for i, label in enumerate(others)
    }
    return {"none": Look(INK, DASHES[0], MARKERS[0]), **cycled}
