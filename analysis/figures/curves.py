"""Lines with bands over small multiples: architecture × learning rate, a line a normalizer."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from analysis.figures.context import Scene, ends
from analysis.figures.figure import Figure
from analysis.figures.layout import few_ticks, log_scale, say, sheet
from analysis.figures.limits import limits
from analysis.figures.marks import mark
from analysis.figures.style import Look
from analysis.reductions import CURVES, Curve
from analysis.statistics import band
from analysis.study import names

BAND = (
    "Lines: interquartile mean over runs; bands: its 95 % interval, absent where a single run is "
    "left and cut off where it leaves the panel; {runs} runs, {fewest} to {most} a line. × marks "
    "where a diverged run ended."
)
OF_LOGARITHMS = (
    "Means and intervals are those of the logarithm, as the axis is. What is far above all else "
    "leaves the panel at its upper edge, where the × of such a run is."
)


def build(scene: Scene) -> list[Figure]:
    """The curves that the study has records for, each a figure."""
    built = ((curve, reduced(scene, curve)) for curve in CURVES)
    return [_figure(scene, curve, frame) for curve, frame in built if len(frame)]


def _figure(scene: Scene, curve: Curve, frame: pd.DataFrame) -> Figure:
    keys = ["setting", "lr", "normalizer"]
    runs = frame.groupby(keys, observed=True)["cell_id"].nunique()
    return Figure(
        name=curve.name,
        title=curve.title,
        caption=" ".join([curve.caption, BAND, *([OF_LOGARITHMS] if curve.log else [])]),
        numbers={"runs": int(runs.sum()), "fewest": int(runs.min()), "most": int(runs.max())},
        draw=partial(draw, scene, curve),
    )


def reduced(scene: Scene, curve: Curve) -> pd.DataFrame:
    """One value of the curve's quantity a run and x, in columns ``x`` and ``y``."""
    frame = scene.rows(f"curves/{curve.name}")
    if frame is None:
        return pd.DataFrame()
    if curve.name == "test_loss":  # the accuracy says it better, where there is one
        classified = scene.rows("curves/test_accuracy")
        frame = frame[~frame["setting"].isin([] if classified is None else classified["setting"])]
    keys = ["setting", "lr", "normalizer", "cell_id", "status", "x"]
    scaled = frame.assign(y=curve.scale * frame["y"])
    return scaled[[*keys, "y"]].sort_values(keys, ignore_index=True)


def draw(scene: Scene, curve: Curve) -> Drawing:
    """Draw one curve's panels: settings down, learning rates across."""
    frame = reduced(scene, curve)
    bands = _bands(scene, curve, frame)
    crosses = ends(frame, "x", "y") if curve.over == "steps" else frame.iloc[:0]
    rows, columns = names(frame["setting"].unique()), sorted(set(frame["lr"]))
    legend = scene.legend(frame)
    page = sheet(rows, [f"LR {lr:g}" for lr in columns], legend=legend)
    page.note_rates(columns)
    for i, setting in enumerate(rows):
        own = [part[part["setting"] == setting] for part in (bands, crosses)]
        span = limits(pd.concat([own[0]["center"], own[1]["y"]]), curve.log, curve.bounds)
        for j, lr in enumerate(columns):
            panel = page.panels[i][j]
            top = span[1] if span else np.inf
            lines(panel, _at(bands, setting, lr), _at(crosses, setting, lr), legend, top)
            few_ticks(panel)
        if span:
            page.panels[i][0].set_ylim(*span)
        page.panels[i][0].set_ylabel(curve.label.replace("{loss}", scene.loss_unit))
        if curve.log:
            log_scale(page.panels[i][0])
    depth = curve.over == "depth"
    page.label_across("relative depth (layer / layers)" if depth else "training (steps)")
    page.label_once()
    if curve.over == "depth":
        for panel in page.each():
            panel.set_xlim(0, 1.04)
    return page.drawing


def _bands(scene: Scene, curve: Curve, frame: pd.DataFrame) -> pd.DataFrame:
    """The curves with their bands, computed on the scale on which they are drawn."""
    by = ["setting", "lr", "normalizer"]
    if not curve.log:
        bands = band(frame, by, "x", "y", scene.seed)
        return bands.assign(**{name: bands[name].clip(*curve.bounds) for name in ("low", "high")})
    bands = band(frame.assign(y=np.log(frame["y"])), by, "x", "y", scene.seed)
    ends = ["center", "low", "high"]
    return bands.assign(**{name: np.exp(bands[name]) for name in ends})


def _at(frame: pd.DataFrame, setting: str, lr: float) -> pd.DataFrame:
    return frame[(frame["setting"] == setting) & (frame["lr"] == lr)]


def lines(
    panel: Axes,
    bands: pd.DataFrame,
    crosses: pd.DataFrame,
    legend: dict[str, Look],
    top: float = np.inf,
) -> None:
    """Draw every normalizer's line, band and crosses into a panel; no cross above ``top``."""
    if bands.empty:
        say(panel, "no runs")
    for place, (label, look) in enumerate(legend.items()):
        line = bands[bands["normalizer"] == label]
        if line.empty:
            continue
        every = max(1, len(line) // 5)
        own = (line["x"], line["center"], line["low"], line["high"])
        drawn = panel.plot(*own[:2], markevery=(place % every, every), **look.line)
        mark(drawn, label, *own)
        shade = {"color": look.color, "alpha": 0.15, "lw": 0}
        mark(panel.fill_between(line["x"], line["low"], line["high"], **shade), label)
        ended = crosses[crosses["normalizer"] == label]
        style = {"s": 28, "marker": "x", "color": look.color, "zorder": 3, "clip_on": False}
        drawn = panel.scatter(ended["x"], ended["y"].clip(upper=top), **style)
        mark(drawn, label, ended["x"], ended["y"])
