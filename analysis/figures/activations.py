"""Activation fans: quantiles of a layer's pre-activations over the steps of training.

What the 3-D histograms of Santurkar et al. (2018, Figs. 1, 2 and 9) wanted to show, on axes that
can be read.
"""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from analysis.figures.context import Scene, centers, condition
from analysis.figures.figure import Figure
from analysis.figures.layout import few_ticks, say, sheet
from analysis.figures.marks import mark
from analysis.figures.single_lr import Slice, numbers, slices
from analysis.figures.style import Look
from analysis.reductions import QUANTILES, chosen_layers

CAPTION = (
    "Median (line), middle half (dark) and 5th to 95th percentile (light) of the pre-activations "
    "of an early, a middle and a late layer on the fixed probe batch; each is the interquartile "
    "mean over runs ({runs} runs, {fewest} to {most} a row) of the runs' own quantiles. A layer "
    "with more than 2¹⁴ values is seen through an evenly spread sample of as many, which moves a "
    "quantile by up to 6 % of a standard deviation. Normalizers share the scale of a layer. {lr}"
)

LEFT = 0.76
"""Room for the label of y beside ticks as wide as −2.5, in inches."""


def build(scene: Scene) -> list[Figure]:
    """One figure a setting, at its one learning rate."""
    frame = scene.rows("fans")
    return [] if frame is None else [_figure(scene, part) for part in slices(scene, frame)]


def _figure(scene: Scene, part: Slice) -> Figure:
    return Figure(
        name=f"activations_{part.slug}",
        title=f"Activations over training: {part.setting}",
        caption=CAPTION.replace("{lr}", part.description),
        numbers=numbers(part),
        draw=partial(draw, scene, part),
    )


def draw(scene: Scene, part: Slice) -> Drawing:
    """Draw normalizers down, layers across."""
    layers = chosen_layers(part.records["index"])
    wanted = part.records[part.records["index"].isin(layers)]
    fans = centers(wanted, ["normalizer", "index", "step"], QUANTILES)
    legend = scene.legend(part.runs)
    runs = {label: part.runs[part.runs["normalizer"] == label] for label in legend}
    rows = [f"{label}  ({condition(runs[label])})" for label in legend]
    names = [f"{place}: {index} of {part.layers}" for index, place in layers.items()]
    page = sheet(rows, names, height=0.85, share="column", labelled="every", left=LEFT)
    for i, (label, look) in enumerate(legend.items()):
        for panel, index in zip(page.panels[i], layers, strict=True):
            fan(panel, fans[(fans["normalizer"] == label) & (fans["index"] == index)], label, look)
            few_ticks(panel, y=3)
        page.panels[i][0].set_ylabel("pre-activation\n(its own units)")
    page.label_across("training (steps)")
    return page.drawing


def fan(panel: Axes, lines: pd.DataFrame, label: str, look: Look) -> None:
    """Draw the five quantiles of one layer under one normalizer."""
    if lines.empty:
        say(panel, "not measured")
    color, step = look.color, lines["step"]
    for low, high, alpha in (("q05", "q95", 0.16), ("q25", "q75", 0.34)):
        shade = {"color": color, "alpha": alpha, "lw": 0}
        mark(panel.fill_between(step, lines[low], lines[high], **shade), label)
    middle = (step, lines["q50"], lines["q25"], lines["q75"])
    mark(panel.plot(step, lines["q50"], color=color), label, *middle)
