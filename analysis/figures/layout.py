"""Small multiples: a sheet of panels laid out in inches, its legend above, nothing overlapping.

A sheet is as wide as matplotlib's setting ``figure.figsize`` says: a page's text or one column of
a paper. Panels that would be too narrow to read go on to the next line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    Locator,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from analysis.figures.marks import Marked, Place, mark
from analysis.figures.style import INK, Look

Share = Literal["row", "column", "none"]

LEFT, RIGHT, BOTTOM, HEADER, TITLE = 0.7, 0.12, 0.45, 0.2, 0.22
BETWEEN_COLUMNS, BETWEEN_ROWS, X_LABEL = 0.18, 0.28, 0.17
NARROWEST = {"first": 1.0, "every": 0.8}
"""Width of the narrowest readable panel: one that shares its row's labels, one with its own."""
LEGEND_LINE, CHARACTER, HANDLE = 0.17, 0.068, 0.65
LINE = 0.14
"""Height of a line of a label that is broken into several."""
_MARGIN = 0.34
"""Share of the width that row labels may take."""


def broken(labels: Sequence[str]) -> list[str]:
    """Row labels, broken into lines that leave most of the width to the panels."""
    return [_broken(label, int(_MARGIN * page_width() / CHARACTER)) for label in labels]


def extent(labels: Sequence[str]) -> tuple[float, float]:
    """Width and height in inches of the largest of some labels of one or more lines."""
    lines = [label.split("\n") for label in labels]
    longest = max(len(line) for each in lines for line in each)
    return CHARACTER * longest, LINE * max(map(len, lines))


def _broken(label: str, room: int) -> str:
    if len(label) <= room:
        return label
    members = [_words(member, room) for member in re.split(r"(?<=\+)", label)]
    return "\n".join(line.rstrip() for lines in members for line in lines)


def _words(member: str, room: int) -> list[str]:
    lines = [""]
    for piece in re.split(r"(?<=[ _(])", member):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > room:
            lines.append("")
        lines[-1] += piece
    return lines


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A drawing and its panels by [row][column]."""

    drawing: Marked
    panels: list[list[Axes]]
    across: int
    """Panels on a line: after so many, a row goes on below."""

    def starts_line(self, column: int) -> bool:
        """Whether a panel is the first of its line, which bears the labels."""
        return column % self.across == 0

    def label_across(self, text: str) -> None:
        """Name the x axes of the last row: each, or all at once where panels are narrower."""
        self.drawing.marks.x = text
        last = self.panels[-1]
        if CHARACTER * len(text) <= last[0].get_position().width * self.drawing.get_figwidth():
            for panel in last:
                panel.set_xlabel(text)
        else:
            self.drawing.text(0.5, 0.06 / self.drawing.get_figheight(), text, ha="center")

    def label_once(self) -> None:
        """Take the tick labels of y off all panels but the first of each line."""
        for row in self.panels:
            for place, panel in enumerate(row):
                if not self.starts_line(place):
                    panel.tick_params(labelleft=False)

    def note_rates(self, rates: Sequence[float]) -> None:
        """Note that each column shows the runs of one learning rate."""
        for row in self.panels:
            for panel, rate in zip(row, rates, strict=True):
                self.drawing.marks.panels[panel].rate = rate

    def each(self) -> list[Axes]:
        """All panels, row by row."""
        return [panel for row in self.panels for panel in row]


def page_width() -> float:
    """Width of a figure, in inches."""
    return float(matplotlib.rcParams["figure.figsize"][0])


def sheet(
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    height: float = 1.3,
    share: Share = "row",
    labelled: Literal["first", "every"] = "first",
    left: float = LEFT,
    legend: Mapping[str, Look] | None = None,
) -> Sheet:
    """Lay out rows × columns of panels, ``height`` inches high.

    The rows' titles stand left above their first panel, so a long one has the row's whole width;
    the columns' headers stand above the first row. ``labelled``: which panels of a row have room
    for a y label and tick labels of their own; ``left``: that room.
    """
    width, gap = page_width(), BETWEEN_COLUMNS if labelled == "first" else left
    room = width - left - RIGHT
    across = int((room + gap) / (NARROWEST[labelled] + gap))
    across = max(1, min(len(columns), across))
    size = ((room - (across - 1) * gap) / across, height)
    lines = math.ceil(len(columns) / across)
    entries = _legend_columns(legend or {}, width)
    key = LEGEND_LINE * math.ceil(len(legend or {}) / entries) + 0.1 if legend else 0.0
    line = height + TITLE + BETWEEN_ROWS + (X_LABEL + HEADER if lines > 1 else 0.0)
    full = key + HEADER + len(rows) * lines * line - BETWEEN_ROWS + BOTTOM
    drawing = Marked(figsize=(width, full))
    panels: list[list[Axes]] = []
    for i, row in enumerate(rows):
        panels.append([])
        for j in range(len(columns)):
            bottom = full - key - HEADER - (i * lines + j // across) * line - TITLE - height
            x = left + j % across * (size[0] + gap)
            box = (x / width, bottom / full, size[0] / width, height / full)
            panel = drawing.add_axes(box, sharey=_shared(panels, i, j, share))
            panel.set_gid(f"panel_{i}_{j}")
            title = ", ".join(filter(None, (row, columns[j])))
            drawing.marks.panels[panel] = Place(title=title)
            panels[i].append(panel)
        panels[i][0].set_title(row, loc="left", fontweight="bold", color=INK, pad=5)
    for own in panels if lines > 1 else panels[:1]:
        for panel, column in zip(own, columns, strict=True):
            _header(panel, column)
    if legend:
        _key(drawing, legend, entries)
    return Sheet(drawing=drawing, panels=panels, across=across)


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


def _key(drawing: Drawing, legend: Mapping[str, Look], columns: int) -> None:
    style: dict[str, Any] = {"loc": "upper left", "ncols": columns, "handlelength": 2.8}
    key = drawing.legend(handles=_handles(legend), **style)
    for label, handle, text in zip(legend, key.legend_handles, key.get_texts(), strict=True):
        mark([text, *([handle] if handle else [])], label)


def _handles(legend: Mapping[str, Look]) -> list[Line2D]:
    return [Line2D([], [], label=label, **look.line) for label, look in legend.items()]


def log_scale(panel: Axes) -> None:
    """Make the y axis logarithmic, with labels even where it spans less than a decade.

    An axis with nothing positive on it stays as it is.
    """
    if not _has_positive(panel, "y"):
        return
    panel.set_yscale("log")
    side = panel.yaxis
    side.set_major_locator(_log_ticks(side, 6))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    side.set_minor_locator(NullLocator())


def log_across(panel: Axes, ticks: Sequence[float] = ()) -> None:
    """Make the x axis logarithmic, labels as plain numbers, at ``ticks`` or at a few places.

    An axis with nothing positive on it stays as it is.
    """
    if not _has_positive(panel, "x"):
        return
    panel.set_xscale("log")
    side = panel.xaxis
    side.set_major_locator(FixedLocator(list(ticks)) if ticks else _log_ticks(side, 4))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    side.set_minor_locator(NullLocator())


def _has_positive(panel: Axes, axis: Literal["x", "y"]) -> bool:
    """Whether the panel, or one that shares its axis, has a value that a log axis can show."""
    shared = panel.get_shared_x_axes() if axis == "x" else panel.get_shared_y_axes()
    least = [getattr(one.dataLim, f"minpos{axis}") for one in shared.get_siblings(panel)]
    return any(map(math.isfinite, least))


def _log_ticks(side: Axis, most: int) -> Locator:
    """Powers of ten; over few decades 1, 2, 5 or 1, 3 of each; over half a one, even steps."""
    low, high = sorted(side.get_view_interval())
    decades = math.log10(high / low) if low > 0 else math.inf
    if decades < 0.5:
        even = MaxNLocator(2).tick_values(low, high)
        return FixedLocator([tick for tick in even if low <= tick <= high])
    subs = (1.0, 2.0, 5.0) if decades < 1.3 else (1.0, 3.0) if decades < 2.2 else (1.0,)
    return LogLocator(subs=subs, numticks=most)


def few_ticks(panel: Axes, y: int = 4) -> None:
    """Keep the linear axes of a small panel to a few ticks."""
    for side, count in ((panel.xaxis, 3), (panel.yaxis, y)):
        if side.get_scale() == "linear":
            side.set_major_locator(MaxNLocator(count))


def say(panel: Axes, text: str) -> None:
    """Write in the middle of a panel that has nothing to show, and take its ticks away."""
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", color="#666666")
    panel.grid(visible=False)
