"""Lines with bands over small multiples: architecture × learning rate, a line a normalizer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from analysis.curves import band
from analysis.figures.figure import Figure
from analysis.figures.panels import few_ticks, fit, log_scale, say, sheet
from analysis.figures.scene import Scene, binned, by_run, ends
from analysis.order import names
from analysis.style import Look

BAND = (
    "Lines: interquartile mean over runs; bands: its 95 % interval, absent where a single run is "
    "left and cut off where it leaves the panel; {runs} runs, {fewest} to {most} a line. × marks "
    "where a diverged run ended."
)
OF_LOGARITHMS = "Means and intervals are those of the logarithm, as the axis is."


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one such figure shows.

    Attributes:
        table, y: the record table and its column.
        over: the x axis: ``steps`` of training, or the relative ``depth`` of the layer.
        label: of the y axis, with its unit; ``{loss}`` stands for the loss's.
        log: draw y on a logarithmic axis.
        bounds: of the quantity; no band reaches beyond them.
        said: what the figure shows, in a sentence.
    """

    name: str
    title: str
    table: str
    y: str
    over: Literal["steps", "depth"] = "steps"
    label: str
    log: bool = False
    bounds: tuple[float, float] = (-np.inf, np.inf)
    said: str


STEP_MEDIAN = "Each run's value at a step is the median over its layers."
CURVES = (
    Curve(
        name="training_loss",
        title="Training loss",
        table="training",
        y="train_loss",
        label="training loss ({loss})",
        log=True,
        said="Loss on each step's own batch, averaged in bins of steps.",
    ),
    Curve(
        name="test_accuracy",
        title="Test accuracy",
        table="training",
        y="test_accuracy",
        label="test accuracy (share)",
        bounds=(0, 1),
        said="Share of the test set classified correctly, at the evaluated steps.",
    ),
    Curve(
        name="test_loss",
        title="Test loss",
        table="training",
        y="test_loss",
        label="test loss ({loss})",
        log=True,
        said="Loss on the test set at the evaluated steps.",
    ),
    Curve(
        name="ics_depth_relative",
        title="Gradient ICS by depth, relative",
        table="gradient_ics",
        y="relative",
        over="depth",
        label="‖G − G′‖ / ‖G‖ (ratio)",
        log=True,
        said="Change of a layer's gradient when the layers before it are updated (Def. 2.1), over "
        "its norm; each run's median over the probed steps. The first layer, where it is zero by "
        "definition, is left out.",
    ),
    Curve(
        name="ics_depth_cosine",
        title="Gradient ICS by depth, cosine",
        table="gradient_ics",
        y="cosine",
        over="depth",
        label="cos(G, G′) (ratio)",
        bounds=(-1, 1),
        said="Cosine of a layer's gradient before and after the layers before it are updated; 1 is "
        "no shift. Each run's median over the probed steps.",
    ),
    Curve(
        name="moment_speed_mean",
        title="Speed of the activations' means",
        table="moment_ics",
        y="mean_shift",
        label="|Δμ| / σ (per update)",
        log=True,
        said="Change of a unit's mean in one update, in units of its standard deviation, averaged "
        f"over units. {STEP_MEDIAN}",
    ),
    Curve(
        name="moment_speed_std",
        title="Speed of the activations' standard deviations",
        table="moment_ics",
        y="log_std_shift",
        label="|Δ log σ| (per update)",
        log=True,
        said="Change of the logarithm of a unit's standard deviation in one update, averaged over "
        f"units. {STEP_MEDIAN}",
    ),
    Curve(
        name="effective_beta",
        title="Effective β at every learning rate",
        table="landscape",
        y="effective_beta",
        label="effective β ({loss} / distance²)",
        log=True,
        said="Largest ‖∇L(θ − s·d) − ∇L(θ)‖ over the distance ‖s·d‖ moved along the gradient, on "
        "the range of steps tied to the learning rate. Small also where a run never left its "
        "initial loss: read it beside the training loss.",
    ),
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
        caption=" ".join([curve.said, BAND, *([OF_LOGARITHMS] if curve.log else [])]),
        numbers={"runs": int(runs.sum()), "fewest": int(runs.min()), "most": int(runs.max())},
        draw=partial(draw, scene, curve),
    )


def reduced(scene: Scene, curve: Curve) -> pd.DataFrame:
    """One value of the curve's quantity a run and x, in columns ``x`` and ``y``."""
    frame = scene.records(curve.table)
    if frame is None or curve.y not in frame:
        return pd.DataFrame()
    frame = _selected(frame, curve)
    if curve.over == "depth":
        frame = frame.assign(depth=frame["index"] / frame["layers"])
        frame = by_run(frame, ["depth"], curve.y, "median")
    elif curve.table == "training":
        frame = binned(frame, curve.y)
    else:
        frame = by_run(frame, ["step"], curve.y, "median")
    return frame.rename(columns={_x(curve): "x", curve.y: "y"}).dropna(subset=["y"])


def _selected(frame: pd.DataFrame, curve: Curve) -> pd.DataFrame:
    if curve.table == "landscape":
        frame = frame[(frame["range"] == "lr") & (frame["direction"] == "gradient")]
    if curve.name == "test_loss":  # the accuracy says it better, where there is one
        classified = frame.groupby("setting", observed=True)["test_accuracy"].transform("count")
        frame = frame[classified == 0]
    if curve.log:
        frame = frame[frame[curve.y] > 0]
    return frame


def _x(curve: Curve) -> str:
    return "depth" if curve.over == "depth" else "step"


def draw(scene: Scene, curve: Curve) -> Drawing:
    """Draw one curve's panels: settings down, learning rates across."""
    frame = reduced(scene, curve)
    bands = _bands(scene, curve, frame)
    crosses = ends(frame, "x", "y") if curve.over == "steps" else frame.iloc[:0]
    rows, columns = names(frame["setting"]), sorted(set(frame["lr"]))
    legend = scene.legend(frame)
    page = sheet(rows, [f"learning rate {lr:g}" for lr in columns], legend=legend)
    for i, setting in enumerate(rows):
        for j, lr in enumerate(columns):
            panel = page.panels[i][j]
            lines(panel, _at(bands, setting, lr), _at(crosses, setting, lr), legend)
            few_ticks(panel)
            if j:
                panel.tick_params(labelleft=False)
        own = [part[part["setting"] == setting] for part in (bands, crosses)]
        fit(page.panels[i][0], pd.concat([own[0]["center"], own[1]["y"]]), curve.log)
        page.panels[i][0].set_ylabel(curve.label.replace("{loss}", scene.loss_unit))
        if curve.log:
            log_scale(page.panels[i][0])
    for panel in page.panels[-1]:
        across = "relative depth (layer / layers)" if curve.over == "depth" else "training (steps)"
        panel.set_xlabel(across)
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


def lines(panel: Axes, bands: pd.DataFrame, crosses: pd.DataFrame, legend: dict[str, Look]) -> None:
    """Draw every normalizer's line, band and crosses into a panel."""
    if bands.empty:
        say(panel, "no runs")
    for place, (label, look) in enumerate(legend.items()):
        line = bands[bands["normalizer"] == label]
        if line.empty:
            continue
        every = max(1, len(line) // 5)
        panel.plot(line["x"], line["center"], markevery=(place % every, every), **look.line)
        panel.fill_between(line["x"], line["low"], line["high"], color=look.color, alpha=0.15, lw=0)
        ended = crosses[crosses["normalizer"] == label]
        panel.scatter(ended["x"], ended["y"], s=28, marker="x", color=look.color, zorder=3)
