"""Heatmaps of a table's measure: normalizer × setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.figures.context import Scene, settings
from analysis.figures.figure import Figure
from analysis.figures.layout import CHARACTER, broken, extent, page_width
from analysis.figures.marks import Marked, Place, mark
from analysis.figures.style import GREY, INK
from analysis.study import names
from analysis.tables import Measure, Table
from analysis.text import DIVERGED, significant

CAPTION = (
    "{title}: the estimates of table “{table}”, over {runs} runs, {fewest} to {most} a cell. "
    "Hatched: more than half of the runs, over all learning rates, diverged. Grey: no estimate, or "
    "one without a number because the runs diverged."
)
HEIGHT, NARROW = 0.26, 0.42
"""Of a cell, in inches: its height, and the width below which it has no number."""
SCALE = 0.85
"""Width of the scale beside, with its labels, in inches."""
HATCH = "////"
HEADLINES = (
    "gradient_ics_relative_early",
    "landscape_loss_range_late",
    "steps_to_target",
    "final_train_loss",
)


@dataclass(frozen=True, kw_only=True)
class Map:
    """One measure as a matrix: rows normalizers, columns settings; and which cells are hatched.

    Attributes:
        low, high: ends of the values' intervals.
    """

    measure: Measure
    values: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    diverged: pd.DataFrame


def build(scene: Scene, tables: Sequence[Table]) -> list[Figure]:
    """One heatmap for the headline measures of every table that compares normalizers."""
    return [
        _figure(scene, table, measure)
        for table in tables
        if "normalizer" in table.keys and len(table.cells)
        for measure in table.measures
        if measure.key in HEADLINES
        if (table.cells.loc[table.cells["measure"] == measure.key, "n"] > 0).any()
    ]


def _figure(scene: Scene, table: Table, measure: Measure) -> Figure:
    cells = table.cells[table.cells["measure"] == measure.key]
    counts = cells["n"][cells["n"] > 0]
    numbers = {"runs": int(counts.sum()), "fewest": int(counts.min()), "most": int(counts.max())}
    return Figure(
        name=f"heatmap_{measure.key}",
        title=f"{measure.title[:1].upper()}{measure.title[1:]}, normalizer × architecture",
        caption=CAPTION.replace("{title}", measure.title).replace("{table}", table.title),
        numbers=numbers,
        draw=partial(draw, scene, table, measure),
    )


def draw(scene: Scene, table: Table, measure: Measure) -> Drawing:
    """Draw one measure's matrix, its numbers in the cells, its scale beside."""
    import seaborn

    grid = matrix(scene, table, measure)
    drawing, panel, scale = _layout(grid)
    narrow = _is_narrow(panel.get_position().width * page_width(), grid)
    finite = grid.values.to_numpy()[np.isfinite(grid.values.to_numpy())]
    norm = _norm(finite)
    panel.set_facecolor(GREY)
    seaborn.heatmap(
        grid.values,
        mask=~np.isfinite(grid.values),
        annot=False if narrow else grid.values.map(lambda v: significant(v, measure.digits)),
        fmt="",
        norm=norm,
        vmin=norm.vmin,  # or seaborn looks for them, and complains where no number is finite
        vmax=norm.vmax,
        cmap="cividis",
        linewidths=1,
        annot_kws={"size": 8},
        ax=panel,
        cbar_ax=scale,
        cbar_kws={"label": _quantity(measure)},
    )
    _hatch(panel, grid)
    _lost(panel, grid)
    _split(panel, grid)
    scale.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    scale.yaxis.set_minor_formatter(NullFormatter())
    panel.set(xlabel="architecture", ylabel="normalizer")
    panel.tick_params(length=0)
    turned: dict[str, Any] = {"rotation": 90} if narrow else {"rotation": 25, "ha": "right"}
    panel.set_xticklabels(panel.get_xticklabels(), **turned)
    panel.set_yticklabels(_row_labels(grid), rotation=0)
    for label, name in zip(panel.get_yticklabels(), grid.values.index, strict=True):
        mark(label, str(name))
    return drawing


def matrix(scene: Scene, table: Table, measure: Measure) -> Map:
    """Pivot a measure's estimates, and the share of diverged runs of the same cells."""
    cells = table.cells[table.cells["measure"] == measure.key]
    rows, columns = names(cells["normalizer"]), names(settings(cells, scene.study.planned))
    cells = cells.assign(setting=settings(cells, scene.study.planned))
    known = cells.set_index(["normalizer", "setting"])[["estimate", "low", "high"]].astype(float)
    lost = (scene.runs["status"] == "diverged").groupby(
        [scene.runs["normalizer"], scene.runs["setting"]]
    )
    share = lost.mean().unstack().reindex(index=rows, columns=columns)
    values, low, high = (
        known[part].unstack().reindex(index=rows, columns=columns)
        for part in ("estimate", "low", "high")
    )
    return Map(measure=measure, values=values, low=low, high=high, diverged=share > 0.5)


def _layout(grid: Map) -> tuple[Marked, Axes, Axes]:
    margin, line = extent(_row_labels(grid))
    left = 0.4 + margin
    width = page_width() - left - SCALE
    height_of_letter = CHARACTER if _is_narrow(width, grid) else 0.03
    bottom = 0.45 + height_of_letter * max(len(name) for name in grid.values.columns)
    height = max(HEIGHT, line + 0.05) * len(grid.values)
    full = (page_width(), bottom + height + 0.3)
    drawing = Marked(figsize=full)
    box = (left / full[0], bottom / full[1], width / full[0], height / full[1])
    panel = drawing.add_axes(box)
    panel.set_gid("panel")
    names = tuple(map(str, grid.values.columns))
    drawing.marks.panels[panel] = Place(y=_quantity(grid.measure), names=names)
    scale = drawing.add_axes((box[0] + box[2] + 0.1 / full[0], box[1], 0.1 / full[0], box[3]))
    marks = [
        Patch(facecolor="white", edgecolor=INK, hatch=HATCH, label="over half diverged"),
        Patch(facecolor=GREY, label="no estimate"),
    ]
    drawing.legend(handles=marks, loc="upper left", ncols=2, bbox_to_anchor=(0, 1))
    return drawing, panel, scale


def _row_labels(grid: Map) -> list[str]:
    return broken(list(map(str, grid.values.index)))


def _is_narrow(width: float, grid: Map) -> bool:
    """Whether cells are too narrow for a number, and for slanted names below them."""
    return width / len(grid.values.columns) < NARROW


def _norm(finite: np.ndarray) -> Normalize:
    """Logarithmic where the values are positive and span more than a factor of ten."""
    if len(finite) == 0:
        return Normalize(0, 1)
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high > 10 * low:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1)


def _split(panel: Axes, grid: Map) -> None:
    """Draw the cells of each normalizer by themselves, so that the page can read and hide them."""
    whole = panel.collections[0]
    whole.remove()
    style = {"cmap": whole.get_cmap(), "norm": whole.norm, "linewidth": 1, "edgecolors": "white"}
    across = np.arange(len(grid.values.columns))
    for i, name in enumerate(grid.values.index):
        values, low, high = (part.iloc[i].to_numpy() for part in (grid.values, grid.low, grid.high))
        cells = np.ma.masked_invalid(values)[np.newaxis]
        row = panel.pcolormesh(np.append(across, len(across)), [i, i + 1], cells, **style)
        places = across + 0.5, np.full(len(across), i + 0.5)
        mark(row, str(name), *places, values, low, high, reads="cell")
        texts = [text for text in panel.texts if int(text.get_position()[1]) == i]
        hatched = [p for p in panel.patches if isinstance(p, Rectangle) and p.get_y() == i]
        mark([*texts, *hatched], str(name))


def _hatch(panel: Axes, grid: Map) -> None:
    for i, j in zip(*np.nonzero(grid.diverged.to_numpy()), strict=True):
        square = Rectangle((j, i), 1, 1, fill=False, hatch=HATCH, edgecolor="white", linewidth=0)
        panel.add_patch(square)


def _lost(panel: Axes, grid: Map) -> None:
    for i, j in zip(*np.nonzero(np.isposinf(grid.values.to_numpy())), strict=True):
        panel.text(j + 0.5, i + 0.5, DIVERGED, size=8, color=INK, ha="center", va="center")


def _quantity(measure: Measure) -> str:
    return f"{measure.title} ({measure.unit})" if measure.unit else measure.title
