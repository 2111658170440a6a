"""The report's figures: one file a kind, each drawn only when its turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.figures.figure import Figure

if TYPE_CHECKING:
    from analysis.load import Study
    from analysis.tables import Table

__all__ = ["Figure", "build"]


def build(study: Study, tables: Sequence[Table], seed: int = 0) -> list[Figure]:
    """The figures that a study supports, in reading order.

    Args:
        study: what was read.
        tables: the report's tables, which the heatmaps draw.
        seed: of the bands' bootstrap.
    """
    if study.runs.empty:
        return []
    from analysis.figures import activations, curves, heatmap, landscape
    from analysis.figures.scene import Scene, settings
    from analysis.style import looks

    runs = study.runs.assign(
        setting=settings(study.runs, study.planned),
        normalizer=study.runs["normalizer"].astype(str),
        cell_id=study.runs["cell_id"].astype(str),
    )
    scene = Scene(study=study, runs=runs, looks=looks(runs["normalizer"]), seed=seed)
    lines = curves.build(scene)
    maps = heatmap.build(scene, tables)
    return [*lines, *activations.build(scene), *landscape.build(scene), *maps]
