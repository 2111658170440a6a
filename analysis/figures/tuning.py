"""How the learning rate matters, and how normalizers compare with the reference."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from analysis.figures.context import Scene, settings
from analysis.figures.figure import Figure
from analysis.figures.layout import broken, extent, few_ticks, log_across, log_scale, sheet
from analysis.figures.marks import mark
from analysis.figures.style import INK
from analysis.reductions import BLOCK
from analysis.statistics import band
from analysis.study import names
from analysis.tables import Column, Table, TableInputs, contrasts
from pipeline.seeds import derive

RATES = (
    "Steps to the block's target against the learning rate: mean over seeds, a run that never "
    "reached it or diverged counting with the planned steps; {runs} runs, {fewest} to {most} a "
    "point. Band: 95 % interval, absent where a single run is left. × marks a rate at which a run "
    "diverged."
)
PROFILE = (
    "Share of runs that reached their target by a step, of all {runs} runs at all learning rates; "
    "diverged and stuck ones never do. A line further up and left is faster, a lower end is less "
    "robust."
)
COST = (
    "Steps to the target at the tuned learning rate against the time of one step, both over those "
    "of the reference normalizer ({reference}); {cells} normalizers in blocks. Left of and below "
    "the curve the saved steps outweigh the dearer step."
)
FOREST = (
    "Ratio of each normalizer to {reference} on pairs of runs ({pairs} pairs in all): "
    "Hodges–Lehmann estimate and 95 % interval, absent where pairs are too few for one. Left of "
    "the line: smaller than with {reference}."
)
FORESTS = ("steps_to_target", "landscape_gradient_difference_relative_late")


def build(scene: Scene, basis: TableInputs, tables: list[Table]) -> list[Figure]:
    """LR sensitivity, performance profile, forest plots, cost against benefit: what is known."""
    runs = basis.runs.assign(setting=scene.runs["setting"].to_numpy())
    runs = runs[runs["time"].notna()]
    found: list[Figure] = []
    if len(runs) and runs["lr"].nunique() > 1:
        sizes = runs.groupby(["setting", "normalizer", "lr"], observed=True)["cell_id"].nunique()
        numbers = {"runs": len(runs), "fewest": int(sizes.min()), "most": int(sizes.max())}
        title = "Sensitivity to the learning rate"
        found += [_figure("lr_sensitivity", title, RATES, numbers, partial(rates, scene, runs))]
    if len(runs):
        title = "Performance profile"
        numbers = {"runs": len(runs)}
        found += [_figure("profile", title, PROFILE, numbers, partial(profile, scene, runs))]
    return [*found, *_forests(scene, basis), *_cost(scene, tables)]


def _figure(name: str, title: str, caption: str, numbers: dict[str, int], draw: partial) -> Figure:
    return Figure(name=name, title=title, caption=caption, numbers=numbers, draw=draw)


def rates(scene: Scene, runs: pd.DataFrame) -> Drawing:
    """A panel a setting, a line a normalizer."""
    bands = band(runs, ["setting", "normalizer"], "lr", "time", scene.seed)
    legend = scene.legend(runs)
    columns = names(runs["setting"])
    page = sheet([""], columns, legend=legend)
    for panel, setting in zip(page.panels[0], columns, strict=True):
        for label, look in legend.items():
            line = bands[(bands["setting"] == setting) & (bands["normalizer"] == label)]
            told = (line["lr"], line["center"], line["low"], line["high"])
            mark(panel.plot(*told[:2], **look.line), label, *told)
            shade = {"color": look.color, "alpha": 0.15}
            mark(panel.fill_between(line["lr"], line["low"], line["high"], **shade), label)
            own = runs[(runs["setting"] == setting) & (runs["normalizer"] == label)]
            lost = own.groupby("lr")["status"].agg(lambda ended: (ended == "diverged").any())
            at = line[line["lr"].isin(lost.index[lost])]
            style = {"s": 40, "marker": "x", "color": look.color, "zorder": 3}
            mark(panel.scatter(at["lr"], at["center"], **style), label)
        log_across(panel, sorted(set(runs["lr"])))
        panel.set_ylim(0, 1.05 * runs["steps"].max())
    page.panels[0][0].set_ylabel("to the target (steps)")
    page.label_once()
    page.label_across("learning rate (η)")
    return page.drawing


def profile(scene: Scene, runs: pd.DataFrame) -> Drawing:
    """A panel a setting: the share that has reached its target, over steps."""
    legend, columns = scene.legend(runs), names(runs["setting"])
    page = sheet([""], columns, legend=legend)
    for panel, setting in zip(page.panels[0], columns, strict=True):
        for label, look in legend.items():
            own = runs[(runs["setting"] == setting) & (runs["normalizer"] == label)]
            if len(own):
                _steps(panel, own, label, look.line)
        few_ticks(panel)
        panel.set_ylim(-0.03, 1.03)
    page.panels[0][0].set_ylabel("reached the target\n(share of runs)")
    page.label_once()
    page.label_across("training (steps)")
    return page.drawing


def _steps(panel: Axes, runs: pd.DataFrame, label: str, line: dict[str, Any]) -> None:
    done = runs["reached"].where(runs["status"] != "diverged").dropna().sort_values().to_numpy()
    x = np.concatenate([[0.0], done, [float(runs["steps"].max())]])
    y = np.concatenate([[0.0], np.arange(1, len(done) + 1), [len(done)]]) / len(runs)
    mark(panel.step(x, y, where="post", markevery=max(1, len(x) // 4), **line), label, x, y)


def _forests(scene: Scene, basis: TableInputs) -> list[Figure]:
    columns = [c for own in basis.columns.values() for c in own if c.measure.key in FORESTS]
    found = []
    for column in columns:
        cells = _against_none(basis, column)
        if len(cells):
            reference = str(cells["reference"].iloc[0])
            found.append(
                _figure(
                    f"forest_{column.measure.key}",
                    f"Over {reference}: {column.measure.title}",
                    FOREST.replace("{reference}", reference),
                    {"pairs": int(cells["pairs"].sum())},
                    partial(forest, scene, cells),
                )
            )
    return found


def _against_none(basis: TableInputs, column: Column) -> pd.DataFrame:
    """Every normalizer over none, as the answers compare them; over batch where none is missing."""
    labels = set(basis.runs["normalizer"].astype(str))
    reference = next((name for name in ("none", "batch") if name in labels), min(labels))
    found = []
    for place, rows in column.runs.groupby(BLOCK, observed=True):
        wide = contrasts.paired(rows, column.value, column.pair)
        rng = np.random.default_rng(
            derive(basis.seed, "forest", column.measure.key, *map(str, place))
        )
        if reference not in wide:
            continue
        for name, contrast in contrasts.against(wide, reference, column.measure, rng).items():
            labels_of = dict(zip(BLOCK, place, strict=True))
            effect = contrast._asdict()
            found.append({**labels_of, "normalizer": name, "reference": reference, **effect})
    cells = pd.DataFrame(found)
    return cells[np.isfinite(cells["effect"])] if len(cells) else cells


def forest(scene: Scene, cells: pd.DataFrame) -> Drawing:
    """A panel a setting, a row a normalizer, the reference's line at 1."""
    cells = cells.assign(setting=settings(cells, scene.study.planned))
    columns, rows = names(cells["setting"]), names(cells["normalizer"])[::-1]
    margin, line = extent(broken(rows))
    height = 0.3 + max(0.18, line + 0.05) * len(rows)
    page = sheet([""], columns, height=height, left=0.35 + margin)
    for panel, setting in zip(page.panels[0], columns, strict=True):
        own = cells[cells["setting"] == setting].set_index("normalizer")
        for y, name in enumerate(rows):
            if name in own.index:
                at, look = own.loc[name], scene.looks[name]
                ends = [at["effect_low"], at["effect_high"]]
                told = np.array([at["effect"], y, *ends], float).reshape(4, 1)
                dot = panel.plot(*told[:2], **{**look.line, "linestyle": ""})
                mark(dot, name, *told, reads="x")
                mark(panel.plot(ends, [y, y], color=look.color), name)
        panel.axvline(1, color=INK, linewidth=0.8)
        log_across(panel)
        panel.set_yticks(range(len(rows)), broken(rows))
        panel.set_ylim(-0.6, len(rows) - 0.4)
    page.panels[0][0].set_ylabel("normalizer")
    page.label_once()
    page.label_across(f"over {cells['reference'].iloc[0]} (ratio)")
    return page.drawing


def _cost(scene: Scene, tables: list[Table]) -> list[Figure]:
    cells = pd.concat([table.cells for table in tables if table.name == "table3_training"])
    keys = ["steps_to_target", "step_time_ratio"]
    cells = cells[cells["measure"].isin(keys)]
    if cells.empty:
        return []
    cells = cells.assign(setting=settings(cells, scene.study.planned))
    effect = cells["effect"].where(cells["normalizer"] != cells["reference"], 1.0)
    wide = cells.assign(effect=effect).pivot(
        index=["setting", "normalizer"], columns="measure", values="effect"
    )
    if not set(keys) <= set(wide) or wide[keys].dropna().empty:
        return []
    points = wide[keys].dropna().reset_index()
    caption = COST.replace("{reference}", str(cells["reference"].iloc[0]))
    title = "Cost against benefit"
    numbers = {"cells": len(points)}
    return [_figure("cost", title, caption, numbers, partial(cost, scene, points))]


def cost(scene: Scene, points: pd.DataFrame) -> Drawing:
    """A panel a setting: a point a normalizer; on the curve the time to the target is equal."""
    legend, columns = scene.legend(points), names(points["setting"])
    page = sheet([""], columns, legend=legend)
    x = points["step_time_ratio"]
    line = np.geomspace(0.8 * min(x.min(), 1), 1.25 * max(x.max(), 1), 50)
    for panel, setting in zip(page.panels[0], columns, strict=True):
        panel.plot(line, 1 / line, color="#666666", linewidth=0.8)
        own = points[points["setting"] == setting].set_index("normalizer")
        for label, look in legend.items():
            if label in own.index:
                at = own.loc[label]
                place = (at["step_time_ratio"], at["steps_to_target"])
                style = {"s": 24, "marker": look.marker, "color": look.color, "zorder": 3}
                mark(panel.scatter(*place, **style), label, [place[0]], [place[1]])
    page.panels[0][0].set_ylabel("steps to the target\n(ratio)")
    log_scale(page.panels[0][0])
    for panel in page.each():
        log_across(panel)
    page.label_once()
    page.label_across("time of a step (ratio)")
    return page.drawing
