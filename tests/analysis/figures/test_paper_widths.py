"""Figures at the widths of a page and of a column, on axes that drop nothing."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from analysis.figures import build
from analysis.figures.activations import LEFT
from analysis.figures.landscape import _with_start
from analysis.figures.layout import broken, log_scale, sheet
from analysis.figures.scatter import linear_width, symmetric
from analysis.figures.style import RC
from analysis.load.sources import load
from analysis.render.save_figure import drawn
from analysis.tables import tables
from tests.helpers.stores.synthetic import write_store


def at_width(width: float, **options: Any) -> Drawing:
    rc: Any = {**RC, "figure.figsize": (width, width)}
    with matplotlib.rc_context(rc):
        return sheet(["one", "two"], ["a", "b", "c"], **options).drawing


@pytest.mark.parametrize(("width", "across"), [(5.5, 3), (3.25, 2)])
def test_a_sheet_is_as_wide_as_asked_and_its_panels_are_readable(width: float, across: int) -> None:
    drawing = at_width(width)
    assert drawing.get_figwidth() == width
    boxes = [axes.get_position() for axes in drawing.axes]
    assert all(box.width * width >= 0.999 for box in boxes)
    assert all(box.x0 >= 0 and box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1 for box in boxes)
    assert len({round(box.x0, 6) for box in boxes}) == across
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_a_label_beside_wide_ticks_is_not_cut_off() -> None:
    with matplotlib.rc_context({**RC, "figure.figsize": (5.5, 5.5)}):  # type: ignore[arg-type]
        page = sheet(["none"], ["early", "late"], labelled="every", left=LEFT)
        panel = page.panels[0][0]
        panel.set(ylim=(-4, 4), yticks=[-2.5, 0.0, 2.5], ylabel="pre-activation\n(its own units)")
        page.drawing.draw_without_rendering()
        assert panel.yaxis.label.get_window_extent().x0 >= 0


def test_type_has_eight_points() -> None:
    names = ("font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")
    assert {RC[name] for name in names} == {8}


def test_a_figure_is_saved_for_a_page_and_for_a_column() -> None:
    def draw() -> Drawing:
        page = sheet([""], ["a"])
        page.panels[0][0].plot([1, 2], [3, 4])
        return page.drawing

    images = drawn(draw, "x")
    boxes = {
        kind: re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", image)
        for kind, image in images.items()
        if kind.endswith("pdf")
    }
    points = {kind: float(box[1]) for kind, box in boxes.items() if box}
    assert points == {"pdf": 5.5 * 72, "column.pdf": 3.25 * 72}


def test_a_figure_too_tall_for_a_column_has_no_file_for_one() -> None:
    assert set(drawn(lambda: Drawing(figsize=(3, 9.5)), "x")) == {"svg", "pdf"}


def test_descent_shows_increases_too() -> None:
    points = pd.DataFrame({"x": [1.0, -0.5, 1e-3], "y": [0.5, -2.0, 0.0]})
    panel = Drawing().add_subplot()
    panel.scatter(points["x"], points["y"])
    symmetric(panel, linear_width(points))
    (low, high), places = panel.get_xlim(), panel.transData.transform(points[["x", "y"]])
    assert low < -0.5 < 1.0 < high
    assert np.isfinite(places).all()
    assert len(panel.get_xticks()) == len(panel.get_yticks()) == 4


def test_the_band_of_the_loss_holds_where_it_starts() -> None:
    records = pd.DataFrame(
        {"loss": [1.0, 1.0, 1.0], "loss_min": [0.5, 1.2, np.nan], "loss_max": [2.0, 3.0, np.nan]}
    )
    found = _with_start(records)
    assert found["loss_min"].tolist() == [0.5, 1.0, 1.0]
    assert found["loss_max"].tolist() == [2.0, 3.0, 1.0]


@pytest.mark.parametrize("high", [1.4, 4.0, 12.0, 90.0, 1e5])
def test_a_logarithmic_axis_has_at_least_two_ticks(high: float) -> None:
    panel = Drawing().add_subplot()
    panel.plot([0, 1], [0.9, high])
    log_scale(panel)
    low, top = panel.get_ylim()
    assert sum(low <= tick <= top for tick in panel.get_yticks()) >= 2


LONG = "weight_standardization+evonorm_s0(channels_per_group=4)"


@pytest.mark.slow
@pytest.mark.parametrize("width", [5.5, 3.25])
def test_long_names_leave_room_for_what_they_name(width: float, tmp_path: Path) -> None:
    """Names of compositions are longer than a column is wide."""
    names = ["none", "batch", LONG]
    write_store(tmp_path, normalizers=names, seeds=[0, 1], steps=20)
    basis = tables.TableInputs(load(str(tmp_path)))
    found = {f.name: f for f in build(basis, tables.build_tables(basis))}
    for name in ("heatmap_steps_to_target", "forest_steps_to_target"):
        with matplotlib.rc_context({**RC, "figure.figsize": (width, width)}):  # type: ignore[arg-type]
            drawing = found[name].draw()
            drawing.draw_without_rendering()
        panel = drawing.axes[0]
        assert panel.get_position().width * width > 0.4
        texts = panel.get_yticklabels()
        assert {text.get_text().replace("\n", "") for text in texts} <= set(names)
        boxes = [text.get_window_extent() for text in texts]
        assert all(box.x0 >= 0 for box in boxes)
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_names_break_between_members_then_between_words() -> None:
    with matplotlib.rc_context({**RC, "figure.figsize": (5.5, 5.5)}):  # type: ignore[arg-type]
        assert broken(["batch", LONG]) == [
            "batch",
            "weight_standardization+\nevonorm_s0(channels_per_\ngroup=4)",
        ]
