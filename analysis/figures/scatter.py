"""Points over small multiples: smoothness against speed, descent predicted against realised."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.figures.context import Scene
from analysis.figures.figure import Figure
from analysis.figures.layout import log_across, say, sheet
from analysis.figures.marks import mark
from analysis.figures.style import Look
from analysis.metrics import Probed
from analysis.study import names
from analysis.tables import Readings, TableInputs, relations_for

MEASURES = (
    "landscape_gradient_difference_relative_early",
    "landscape_scaled_beta_early",
    "curvature_eta_lambda_max_early",
)
SPEED = (
    "Each point is a run: the measure, mean from 5 to 25 % of the planned steps, against the steps "
    "to the target; a run that never reached it, or diverged, is at the planned steps. ψ in a "
    "panel's corner is the rank correlation with data, architecture, learning rate and seed held "
    "fixed, oriented so that 1 means that smoother is faster; in brackets its 95 % jackknife "
    "interval over normalizers. {runs} runs; runs on the plateau, at the loss at chance, have no "
    "reading."
)
DESCENT = (
    "Each point is a probed step of a run: the change of the loss that the quadratic model along "
    "the gradient predicts, −η‖g‖²(1 − ½ηĝᵀHĝ), against the change on the same batch; both as "
    "decreases, negative where the loss rises, on symmetric logarithmic axes, linear within the "
    "dotted lines. On the "
    "line the descent lemma's model is exact. {runs} runs, {points} points."
)


def build(scene: Scene, basis: TableInputs) -> list[Figure]:
    """Smoothness against speed for each of `MEASURES` that was recorded; and descent."""
    items = {r.item.measure.key: r.item for r in basis.relations}
    found = [_speed(scene, basis, items[key]) for key in MEASURES if key in items]
    return [*found, *_descent(scene)]


def _speed(scene: Scene, basis: TableInputs, item: Probed) -> Figure:
    runs = basis.runs
    values = Readings(basis.probes, runs).read(item, "step").abs()
    points = runs.assign(setting=scene.runs["setting"].to_numpy(), x=values, y=runs["time"])
    points = points[(points["x"] > 0) & points["y"].notna()]
    return Figure(
        name=f"speed_{item.record}_{item.column}",
        title=f"Smoothness against speed: {item.quantity}",
        caption=SPEED,
        numbers={"runs": len(points)},
        draw=partial(draw_speed, scene, basis, item, points),
    )


def draw_speed(scene: Scene, basis: TableInputs, item: Probed, points: pd.DataFrame) -> Drawing:
    """Draw settings down, learning rates across; ψ in the first panel of a row."""
    rows, rates = names(points["setting"].unique()), sorted(set(points["lr"]))
    legend = scene.legend(points)
    page = sheet(rows or [""], [f"LR {lr:g}" for lr in rates] or [""], legend=legend)
    if rates:
        page.note_rates(rates)
    for i, setting in enumerate(rows):
        for j, lr in enumerate(rates):
            own = points[(points["setting"] == setting) & (points["lr"] == lr)]
            _dots(page.panels[i][j], own, legend)
        page.panels[i][0].set_ylabel("to the target (steps)")
        _corner(page.panels[i][0], _psi(basis, item, points[points["setting"] == setting]))
    for panel in page.each():
        panel.margins(0.12)
        log_across(panel)
    page.label_once()
    page.label_across(f"{item.quantity} ({item.measure.unit or 'no unit'})")
    return page.drawing


def _dots(panel: Axes, points: pd.DataFrame, legend: dict[str, Look]) -> None:
    if points.empty:
        say(panel, "no runs")
    for label, look in legend.items():
        own = points[points["normalizer"] == label]
        style = {"s": 16, "marker": look.marker, "color": look.color, "alpha": 0.8}
        mark(panel.scatter(own["x"], own["y"], **style), label, own["x"], own["y"])


def _psi(basis: TableInputs, item: Probed, points: pd.DataFrame) -> str:
    architecture = str(points["architecture"].iloc[0])
    for relation in relations_for(basis.relations, item.measure.key, "speed"):
        block = relation.block
        same = block and block["architecture"] == architecture
        if same and block["data"] == str(points["data"].iloc[0]):
            psi = relation.psi
            if math.isnan(psi.estimate):
                return "ψ: not estimable"
            return f"ψ = {psi.estimate:.2f} [{psi.low:.2f}, {psi.high:.2f}]"
    return ""


def _corner(panel: Axes, text: str) -> None:
    place = {"transform": panel.transAxes, "ha": "right", "va": "bottom", "fontsize": 8}
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    panel.text(0.97, 0.04, text, bbox=box, **place)


def _descent(scene: Scene) -> list[Figure]:
    frame = scene.rows("records/descent_lemma")
    if frame is None or not {"predicted", "realised"} <= set(frame):
        return []
    points = frame.assign(x=-frame["predicted"], y=-frame["realised"])
    points = points[np.isfinite(points["x"]) & np.isfinite(points["y"])]
    if points.empty:
        return []
    return [
        Figure(
            name="descent",
            title="Predicted and realised descent",
            caption=DESCENT,
            numbers={"runs": int(points["cell_id"].nunique()), "points": len(points)},
            draw=partial(draw_descent, scene, points),
        )
    ]


def draw_descent(scene: Scene, points: pd.DataFrame) -> Drawing:
    """Draw settings down, learning rates across."""
    rows, rates = names(points["setting"].unique()), sorted(set(points["lr"]))
    legend, linear = scene.legend(points), linear_width(points)
    ends = np.array([points["x"].min(), points["x"].max()])
    page = sheet(rows, [f"LR {lr:g}" for lr in rates], legend=legend)
    page.note_rates(rates)
    for i, setting in enumerate(rows):
        for j, lr in enumerate(rates):
            panel = page.panels[i][j]
            _dots(panel, points[(points["setting"] == setting) & (points["lr"] == lr)], legend)
            panel.plot(ends, ends, color="#666666", linewidth=0.8)
            symmetric(panel, linear)
        page.panels[i][0].set_ylabel(f"realised ({scene.loss_unit})")
    page.label_once()
    page.label_across(f"predicted decrease ({scene.loss_unit})")
    return page.drawing


def linear_width(points: pd.DataFrame) -> float:
    """Where the axes turn linear: the power of ten below a tenth of all decreases."""
    sizes = np.abs(points[["x", "y"]].to_numpy(float))
    sizes = sizes[sizes > 0]
    return 10.0 ** math.floor(math.log10(np.quantile(sizes, 0.1))) if len(sizes) else 1.0


def symmetric(panel: Axes, linear: float) -> None:
    """Make both axes symmetric logarithmic, and mark where they are linear."""
    panel.set_xscale("symlog", linthresh=linear)
    panel.set_yscale("symlog", linthresh=linear)
    for draw_line, side in ((panel.axvline, panel.xaxis), (panel.axhline, panel.yaxis)):
        for edge in (-linear, linear):
            draw_line(edge, color="#999999", linewidth=0.5, linestyle=":")
        largest = max(map(abs, side.get_view_interval()))
        decades = max(1, math.ceil(math.log10(max(largest, 10 * linear) / linear) / 2))
        ticks = [linear * 10.0 ** (decades * i) for i in range(3)]
        side.set_major_locator(FixedLocator([-ticks[1], 0.0, *ticks[1:]]))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        side.set_minor_locator(NullLocator())
