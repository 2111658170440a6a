"""Small multiples: a sheet of panels laid out in inches, its legend above, nothing overlapping."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.figures.style import INK, Look

Share = Literal["row", "column", "none"]

LEFT, RIGHT, BOTTOM, HEADER, TITLE = 0.85, 0.15, 0.5, 0.2, 0.22
BETWEEN_COLUMNS, BETWEEN_ROWS = 0.3, 0.28
LEGEND_LINE, CHARACTER, HANDLE = 0.17, 0.068, 0.65


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A drawing and its panels by [row][column]."""

    drawing: Drawing
    panels: list[list[Axes]]

    def each(self) -> list[Axes]:
        """All panels, row by row."""
        return [panel for row in self.panels for panel in row]


def sheet(
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    size: tuple[float, float] = (2.3, 1.45),
    share: Share = "row",
    labelled: Literal["first", "every"] = "first",
    legend: Mapping[str, Look] | None = None,
) -> Sheet:
    """Lay out rows × columns of panels of ``size`` inches.

    The rows' titles stand left above their first panel, so a long one has the row's whole width;
    the columns' headers stand above the first row. ``labelled``: which panels of a row have room
    for a y label and tick labels of their own.
    """
    gap = BETWEEN_COLUMNS if labelled == "first" else LEFT
    width = LEFT + len(columns) * size[0] + (len(columns) - 1) * gap + RIGHT
    width = max(width, 4.2)
    entries = _legend_columns(legend or {}, width)
    key = LEGEND_LINE * math.ceil(len(legend or {}) / entries) + 0.1 if legend else 0.0
    line = size[1] + TITLE + BETWEEN_ROWS
    height = key + HEADER + len(rows) * line - BETWEEN_ROWS + BOTTOM
    drawing = Drawing(figsize=(width, height))
    panels: list[list[Axes]] = []
    for i, row in enumerate(rows):
        bottom = height - key - HEADER - i * line - TITLE - size[1]
        panels.append([])
        for j in range(len(columns)):
            left = LEFT + j * (size[0] + gap)
            box = (left / width, bottom / height, size[0] / width, size[1] / height)
            panels[i].append(drawing.add_axes(box, sharey=_shared(panels, i, j, share)))
        panels[i][0].set_title(row, loc="left", fontweight="bold", color=INK, pad=5)
    for panel, column in zip(panels[0], columns, strict=True):
        _header(panel, column)
    if legend:
        drawing.legend(handles=_handles(legend), loc="upper left", ncols=entries, handlelength=2.8)
    return Sheet(drawing=drawing, panels=panels)


def _shared(panels: list[list[Axes]], i: int, j: int, share: Share) -> Axes | None:
    if share == "row" and j:
        return panels[i][0]
    return panels[0][j] if share == "column" and i else None


def _header(panel: Axes, text: str) -> None:
    offset = (0, TITLE * 72)
    style = {"ha": "right", "va": "bottom", "color": "#444444", "annotation_clip": False}
    panel.annotate(text, (1, 1), offset, "axes fraction", "offset points", **style)


def _legend_columns(legend: Mapping[str, Look], width: float) -> int:
    """As many columns as fit; matplotlib fills them one after the other."""
    labels = list(legend)
    for count in range(len(labels), 1, -1):
        lines = math.ceil(len(labels) / count)
        columns = [labels[i : i + lines] for i in range(0, len(labels), lines)]
        longest = [max(map(len, column)) for column in columns]
        if sum(HANDLE + CHARACTER * length for length in longest) <= width:
            return len(columns)
    return 1


def _handles(legend: Mapping[str, Look]) -> list[Line2D]:
    return [Line2D([], [], label=label, **look.line) for label, look in legend.items()]


def log_scale(panel: Axes) -> None:
    """Make the y axis logarithmic, with labels even where it spans less than a decade.

    An axis with nothing positive on it stays as it is.
    """
    sharing = panel.get_shared_y_axes().get_siblings(panel)
    if not any(math.isfinite(one.dataLim.minposy) for one in sharing):
        return
    panel.set_yscale("log")
    side = panel.yaxis
    low, high = sorted(side.get_view_interval())
    narrow = low > 0 and math.log10(high / low) < 1.3
    side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=6))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    side.set_minor_locator(NullLocator())


def log_across(panel: Axes, ticks: Sequence[float] = ()) -> None:
    """Make the x axis logarithmic, labels as plain numbers, at ``ticks`` or at a few places."""
    panel.set_xscale("log")
    side = panel.xaxis
    low, high = sorted(side.get_view_interval())
    narrow = low > 0 and math.log10(high / low) < 1.3
    few = LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=4)
    side.set_major_locator(FixedLocator(list(ticks)) if ticks else few)
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    side.set_minor_locator(NullLocator())


def fit(panel: Axes, values: pd.Series, log: bool) -> None:
    """Choose the y limits by the lines, not by bands that few seeds make as wide as can be."""
    known = np.log10(values) if log else values
    low, high = known.min(), known.max()
    if not math.isfinite(high - low):
        return
    margin = max(0.2 * (high - low), 0.1 if log else 0.05 * abs(high), 1e-9)
    limits = np.array([low - margin, high + margin])
    panel.set_ylim(*(10**limits if log else limits))


def few_ticks(panel: Axes, y: int = 4) -> None:
    """Keep the linear axes of a small panel to a few ticks."""
    for side, count in ((panel.xaxis, 4), (panel.yaxis, y)):
        if side.get_scale() == "linear":
            side.set_major_locator(MaxNLocator(count))


def say(panel: Axes, text: str) -> None:
    """Write in the middle of a panel that has nothing to show, and take its ticks away."""
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", color="#666666")
    panel.grid(visible=False)
