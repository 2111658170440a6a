"""How long cells will take, from what finished cells took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from pipeline.spec import Cell
from pipeline.store import Store, StoreError

_SAMPLE = 20
"""Results read for each architecture: enough for a mean, and quick in a large store."""


@dataclass(frozen=True)
class Estimate:
    """Wall seconds of a training step, everything that a cell does shared out over its steps."""

    per_step: dict[str, float]
    """By architecture, those of which some cell has finished."""
    overall: float | None
    """Of all finished cells together; None if there are none."""
    on_gpus: bool
    """Whether the finished cells ran on GPUs."""

    def seconds(self, cell: Cell) -> float | None:
        """Expected wall time of a cell; None if nothing is known."""
        per_step = self.per_step.get(cell.labels["architecture"], self.overall)
        return None if per_step is None else per_step * cell.settings["training"]["steps"]

    def total(self, cells: Iterable[Cell]) -> float | None:
        """Expected work of cells, in seconds of one slot; None if nothing is known."""
        times = [self.seconds(cell) for cell in cells]
        known = [time for time in times if time is not None]
        return sum(known) if len(known) == len(times) else None


def estimate(planned: Sequence[Cell], store: Store, finished: set[str]) -> Estimate:
    """Measure a sweep's finished cells: total time over total steps, by architecture."""
    sampled: dict[str, list[tuple[float, int]]] = defaultdict(list)
    on_gpus = False
    for cell in planned:
        sample = sampled[cell.labels["architecture"]]
        if cell.cell_id in finished and len(sample) < _SAMPLE:
            with suppress(StoreError):  # --status names a damaged result
                result = store.result(cell.cell_id)
                sample.append((result["cost"]["seconds"], result["summary"]["steps"]))
                on_gpus |= result["cost"]["peak_memory_bytes"] is not None
    return Estimate(
        {name: _rate(sample) for name, sample in sampled.items() if sample},
        _rate(whole)
        if (whole := [each for sample in sampled.values() for each in sample])
        else None,
        on_gpus,
    )


def _rate(sample: Sequence[tuple[float, int]]) -> float:
    return sum(seconds for seconds, _ in sample) / sum(steps for _, steps in sample)


def longest_first(cells: Sequence[Cell], expected: Estimate) -> list[Cell]:
    """The longest cells first, seed by seed.

    So slots are even at the end, while a sweep that is cut short still has all kinds of cells.
    Where no cell has finished yet, more steps are taken for longer; equals keep the sweep file's
    order.
    """

    def length(cell: Cell) -> float:
        seconds = expected.seconds(cell)
        return cell.settings["training"]["steps"] if seconds is None else seconds

    return [
        cell
        for _, group in groupby(cells, key=lambda cell: cell.settings["seed"])
        for cell in sorted(group, key=length, reverse=True)
    ]
