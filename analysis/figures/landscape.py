"""The loss landscape along a line (Santurkar et al. 2018, Fig. 4), a row a normalizer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from analysis.figures.context import Scene, centers, condition
from analysis.figures.figure import Figure
from analysis.figures.layout import few_ticks, log_scale, say, sheet
from analysis.figures.marks import mark
from analysis.figures.single_lr import Slice, numbers, slices
from analysis.figures.style import Look


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A column of panels: what it is called, and the record columns of its line and its band.

    ``{loss}`` in the label stands for the loss's unit.
    """

    header: str
    label: str
    line: str | None = None
    band: tuple[str, str] | None = None


QUANTITIES = (
    Quantity(
        header="loss on the way",
        label="loss\n({loss})",
        line="loss",
        band=("loss_min", "loss_max"),
    ),
    Quantity(
        header="change of the gradient",
        label="‖∇L′ − ∇L‖\n({loss} / distance)",
        band=("gradient_difference_min", "gradient_difference_max"),
    ),
    Quantity(
        header="effective β",
        label="β\n({loss} / distance²)",
        line="effective_beta",
    ),
)

MEASURED = tuple(
    name for quantity in QUANTITIES for name in (quantity.line, *(quantity.band or ())) if name
)

LINES = {
    "gradient": ("landscape_", "along the gradient", "along the gradient"),
    "update": (
        "landscape_update_",
        "along the optimizer's step",
        "along the step −Δθ/η as the optimizer made it",
    ),
}
"""By the record's direction: the start of the figure's name, its title, and the line in words."""

CAPTION = (
    "Moving from θ {along}, by steps in the range tied to the learning rate: the loss "
    "(line at θ, band from the smallest to the largest on the way, θ included), the band of the "
    "gradient's change; effective β, the largest change over the distance moved. Each edge and "
    "line is the interquartile mean over runs ({runs} runs, {fewest} to {most} a row); the bands "
    "are ranges on the way, not intervals. Narrow also where a run is still at the loss at "
    "chance. {lr}"
)


def build(scene: Scene) -> list[Figure]:
    """One figure a direction and setting, at its one learning rate."""
    frame = scene.rows("records/landscape")
    if frame is None or not {"range", "direction", *MEASURED} <= set(frame):
        return []
    frame = frame[frame["range"] == "lr"]
    return [
        _figure(scene, direction, part)
        for direction in LINES
        for part in slices(scene, frame[frame["direction"] == direction])
    ]


def _figure(scene: Scene, direction: str, part: Slice) -> Figure:
    start, title, along = LINES[direction]
    return Figure(
        name=f"{start}{part.slug}",
        title=f"Loss landscape {title}: {part.setting}",
        caption=CAPTION.replace("{along}", along).replace("{lr}", part.description),
        numbers=numbers(part),
        draw=partial(draw, scene, part),
    )


def draw(scene: Scene, part: Slice) -> Drawing:
    """Draw normalizers down, the three quantities across; a column shares its scale."""
    lines = centers(_with_start(part.records), ["normalizer", "step"], MEASURED)
    legend = scene.legend(part.runs)
    runs = {label: part.runs[part.runs["normalizer"] == label] for label in legend}
    rows = [f"{label}  ({condition(runs[label])})" for label in legend]
    headers = [quantity.header for quantity in QUANTITIES]
    page = sheet(rows, headers, height=0.85, share="column", labelled="every")
    for i, (label, look) in enumerate(legend.items()):
        own = lines[lines["normalizer"] == label]
        for panel, quantity in zip(page.panels[i], QUANTITIES, strict=True):
            draw_quantity(panel, own, quantity, label, look)
            panel.set_ylabel(quantity.label.replace("{loss}", scene.loss_unit))
    for panel in page.panels[0]:
        log_scale(panel)
    for panel in page.each():
        few_ticks(panel)
    page.label_across("training (steps)")
    return page.drawing


def _with_start(records: pd.DataFrame) -> pd.DataFrame:
    """The range of the loss on the way, run by run, with the point where it starts."""
    start = records["loss"]
    low = records["loss_min"].where(records["loss_min"] < start, start)
    high = records["loss_max"].where(records["loss_max"] > start, start)
    return records.assign(loss_min=low, loss_max=high)


def draw_quantity(
    panel: Axes, lines: pd.DataFrame, quantity: Quantity, label: str, look: Look
) -> None:
    """Draw one normalizer's line and band; an edge at or below zero is cut off by the log axis."""
    if lines.empty:
        say(panel, "not measured")
    if quantity.band:
        low, high = (_positive(lines[name]) for name in quantity.band)
        floor = low.fillna(low.min()).where(high.notna())
        shade = {"color": look.color, "alpha": 0.3, "lw": 0}
        edges = (lines["step"], high, floor, high)
        filled = panel.fill_between(lines["step"], floor, high, **shade)
        mark(filled, label, *(() if quantity.line else edges))
    if quantity.line:
        values = _positive(lines[quantity.line])
        mark(panel.plot(lines["step"], values, color=look.color), label, lines["step"], values)


def _positive(values: pd.Series) -> pd.Series:
    return values.where(values > 0)
