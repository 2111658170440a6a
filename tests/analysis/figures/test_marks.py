"""What a drawing tells the page of its lines, and axes that have nothing to show."""

from __future__ import annotations

import io
import re
from html import unescape

import numpy as np
import pytest
from matplotlib.figure import Figure as Drawing

from analysis.figures.layout import log_across, log_scale, sheet
from analysis.figures.marks import annotated, mark
from analysis.render.compact_svg import compact


def svg_of(drawing: Drawing) -> str:
    file = io.BytesIO()
    drawing.savefig(file, format="svg")
    return annotated(file.getvalue().decode(), drawing)


def marked(svg: str, normalizer: str) -> str:
    found = re.search(rf'<g id="mark_\d+" data-normalizer="{normalizer}"([^>]*)>', svg)
    assert found
    return found[1]


def test_a_mark_has_its_values_where_they_are_drawn() -> None:
    page = sheet(["net"], ["LR 0.1"])
    page.note_rates([0.1])
    panel = page.panels[0][0]
    x, y = np.array([1.0, 10.0, 1e6]), np.array([2.0, 4.0, 3.0])
    mark(panel.plot(x, y), "batch", x, y, y - 1, y + 1)
    log_across(panel)
    panel.set(xlim=(1, 100), ylim=(0, 8), ylabel="loss\n(nats)")
    page.label_across("training (steps)")
    svg = svg_of(page.drawing)
    left, top, right, bottom = map(float, re.findall(r'data-box="([^"]*)"', svg)[0].split())
    points = re.findall(r'data-points="([^"]*)"', marked(svg, "batch"))[0].split(";")
    assert [point.split(",")[2:] for point in points] == [
        ["1", "2", "1", "3"],
        ["10", "4", "3", "5"],
    ]
    ways = [[int(way) / 10 for way in point.split(",")[:2]] for point in points]
    at = np.cumsum(ways, axis=0)
    assert at[0] == pytest.approx([left, bottom - (bottom - top) / 4], abs=0.1)
    assert at[1] == pytest.approx([(left + right) / 2, (top + bottom) / 2], abs=0.1)
    assert 'data-lr="0.1"' in svg
    assert 'data-title="net, LR 0.1" data-x="training (steps)" data-y="loss (nats)"' in svg


def test_a_hostile_name_stays_text() -> None:
    page = sheet([""], [""])
    name = '<b onload="x">&\''
    mark(page.panels[0][0].plot([0, 1], [0, 1]), name)
    found = re.search(r"data-normalizer=(\"[^\"]*\"|'[^']*')", svg_of(page.drawing))
    assert found
    assert "<" not in found[1]
    assert unescape(found[1][1:-1]) == name


def test_a_drawing_without_marks_is_as_it_was() -> None:
    drawing = Drawing()
    mark(drawing.add_subplot().plot([0, 1], [0, 1]), "batch")
    assert "data-" not in svg_of(drawing)


def test_compact_keeps_values_and_moves_nothing_visibly() -> None:
    svg = '<g data-points="1.2,3.4,0.0001234"><path d="M 1.23456 -7.891\n L 2.5 3"/></g>'
    assert compact(svg) == ('<g data-points="1.2,3.4,0.0001234"><path d="M1.2 -7.9l1.3 10.9"/></g>')


@pytest.mark.parametrize("values", [[0.0, 0.0], [-1.0, -2.0], [np.nan, np.nan], []])
def test_an_axis_with_nothing_positive_stays_linear(values: list[float]) -> None:
    drawing = Drawing()
    panel = drawing.add_subplot()
    panel.scatter(values, values)
    log_across(panel)
    log_scale(panel)
    drawing.draw_without_rendering()
    assert panel.get_xscale() == panel.get_yscale() == "linear"
