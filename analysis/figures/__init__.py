"""The report's figures: one file a kind, each drawn only when its turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.figures.figure import Figure

if TYPE_CHECKING:
    from analysis.tables import Table, TableInputs

__all__ = ["Figure", "build"]


def build(basis: TableInputs, tables: Sequence[Table]) -> list[Figure]:
    """The figures that a study supports, in reading order.

    Args:
        basis: what the tables were made from; its seed is that of the bands' bootstrap.
        tables: the report's tables, which heatmaps, forests and the cost figure draw.
    """
    study, seed = basis.study, basis.seed
    if study.runs.empty:
        return []
    from analysis.figures import activations, curves, heatmap, landscape, scatter, tuning
    from analysis.figures.context import Scene, settings
    from analysis.figures.style import looks

    runs = study.runs.assign(
        setting=settings(study.runs, study.planned),
        normalizer=study.runs["normalizer"].astype(str),
        cell_id=study.runs["cell_id"].astype(str),
    )
    scene = Scene(study=study, runs=runs, looks=looks(runs["normalizer"]), seed=seed)
    lines = curves.build(scene)
    maps = heatmap.build(scene, tables)
    points, compared = scatter.build(scene, basis), tuning.build(scene, basis, list(tables))
    fans = [*activations.build(scene), *landscape.build(scene)]
    return [*lines, *fans, *maps, *compared, *points]
