"""What the report's page needs of a drawing: which normalizer a line shows, and its values.

A drawing function marks its artists. The SVG then bears data attributes on their groups, which the
page's script reads; without a script, and in the PDF, they change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from xml.sax.saxutils import quoteattr

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

Reads = Literal["x", "y", "cell"]
_POINTS_PER_INCH = 72
_DIGITS = (6, 3, 3, 3, 3)
"""Of x (a step is whole), y, and the ends of the interval; of a cell, its value before the ends."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One artist: the normalizer that it shows, and what is read off it.

    Attributes:
        values: x, y and, where there is an interval, its ends: one row per point, in data units.
        reads: the axis that the interval belongs to. With ``x``, y is a row's place and no value.
            With ``cell``, x and y are places; the value and the ends of its interval follow.
    """

    artist: Artist
    normalizer: str
    values: np.ndarray
    reads: Reads


@dataclass(kw_only=True)
class Place:
    """A panel: what it shows, the learning rate of its runs, and the names of its axes.

    Attributes:
        y: of the y axis; of a panel of cells, of their value. names: of the columns of cells.
    """

    title: str = ""
    rate: float | None = None
    y: str = ""
    names: tuple[str, ...] = ()


@dataclass
class Marks:
    """What is marked in a drawing; ``x``: name of all its x axes."""

    artists: list[Mark] = field(default_factory=list)
    panels: dict[Axes, Place] = field(default_factory=dict)
    x: str = ""


class Marked(Drawing):
    """A drawing with marks."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.marks = Marks()


def mark(
    artists: Artist | Iterable[Artist], normalizer: str, *values: Any, reads: Reads = "y"
) -> None:
    """Note which normalizer artists show; no effect on what is drawn.

    Args:
        artists: one or several. normalizer: their label.
        values: x, y and, where there is an interval, its ends, one sequence each; none where
        nothing is read off the artists. reads: see `Mark`.
    """
    rows = np.column_stack([np.asarray(one, float) for one in values]) if values else np.empty(0)
    for artist in [artists] if isinstance(artists, Artist) else artists:
        drawing = artist.get_figure(root=True)
        if isinstance(drawing, Marked):
            artist.set_gid(f"mark_{len(drawing.marks.artists)}")
            own = Mark(artist=artist, normalizer=normalizer, values=rows, reads=reads)
            drawing.marks.artists.append(own)


def annotated(svg: str, drawing: Drawing) -> str:
    """The SVG of a drawing with its marks as data attributes."""
    if not isinstance(drawing, Marked):
        return svg
    for panel, place in _named(drawing).items():
        attributes = {"data-title": place.title, "data-x": drawing.marks.x, "data-y": place.y}
        attributes |= {} if place.rate is None else {"data-lr": f"{place.rate:g}"}
        attributes |= {"data-names": json.dumps(place.names)} if place.names else {}
        attributes["data-box"] = " ".join(f"{value:.1f}" for value in _box(panel, drawing))
        svg = _with_attributes(svg, str(panel.get_gid()), attributes)
    for number, own in enumerate(drawing.marks.artists):
        attributes = {"data-normalizer": own.normalizer}
        points = _points(own, drawing) if len(own.values) else ""
        attributes |= {"data-points": points} if points else {}
        attributes |= {"data-reads": own.reads} if own.reads != "y" else {}
        svg = _with_attributes(svg, f"mark_{number}", attributes)
    return svg


def _with_attributes(svg: str, gid: str, attributes: dict[str, str]) -> str:
    extra = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
    return svg.replace(f'id="{gid}"', f'id="{gid}"{extra}', 1)


def _named(drawing: Marked) -> dict[Axes, Place]:
    """The panels; one without a y label has that of the panel before, one of cells its own."""
    y = ""
    for panel, place in drawing.marks.panels.items():
        if place.names:
            continue
        y = place.y = panel.get_ylabel().replace("\n", " ") or y
    return drawing.marks.panels


def _box(panel: Axes, drawing: Drawing) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a panel, in the SVG's units."""
    place, width, height = panel.get_position(), *_size(drawing)
    return (
        place.x0 * width,
        (1 - place.y1) * height,
        place.x1 * width,
        (1 - place.y0) * height,
    )


def _size(drawing: Drawing) -> tuple[float, float]:
    return (
        _POINTS_PER_INCH * drawing.get_figwidth(),
        _POINTS_PER_INCH * drawing.get_figheight(),
    )


def _points(own: Mark, drawing: Drawing) -> str:
    """Points within the panel, as ``right,down,x,y,low,high;right,down,…``.

    The first two are the way from the point before, in tenths of the SVG's unit: short to write.
    """
    panel = own.artist.axes
    if not isinstance(panel, Axes):
        return ""
    width, height = _size(drawing)
    to_drawing = panel.transData + drawing.transFigure.inverted()
    with np.errstate(all="ignore"):
        across, up = to_drawing.transform(own.values[:, :2]).T
    left, top, right, bottom = _box(panel, drawing)
    found, before = [], (0, 0)
    for x, y, row in zip(across * width, (1 - up) * height, own.values, strict=True):
        if left - 1 <= x <= right + 1 and top - 1 <= y <= bottom + 1:
            known = row if np.isfinite(row[2:]).all() else row[: 3 if own.reads == "cell" else 2]
            place = (round(10 * x), round(10 * y))
            way = [str(here - there) for here, there in zip(place, before, strict=True)]
            told = [f"{value:.{digits}g}" for value, digits in zip(known, _DIGITS, strict=False)]
            found.append(",".join([*way, *told]).replace("inf", "Infinity"))
            before = place
    return ";".join(found)
