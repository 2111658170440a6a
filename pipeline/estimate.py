"""How long cells will take, from what finished cells took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pipeline.spec import Cell
from pipeline.store import Store

_SAMPLE = 20
"""Results read for each architecture: enough for a mean, and quick in a large store."""


def estimated_seconds(
    missing: Sequence[Cell], planned: Sequence[Cell], store: Store, finished: set[str]
) -> float | None:
    """Work of the missing cells, in seconds of one slot; None if no planned cell has finished.

    The mean wall time of finished cells of the same architecture, or of all where it has none.
    """
    measured: dict[str, list[float]] = defaultdict(list)
    for cell in planned:
        architecture = cell.labels["architecture"]
        if cell.cell_id in finished and len(measured[architecture]) < _SAMPLE:
            measured[architecture].append(store.result(cell.cell_id)["cost"]["seconds"])
    times = [time for times in measured.values() for time in times]
    if not times:
        return None
    means = {name: sum(values) / len(values) for name, values in measured.items() if values}
    overall = sum(times) / len(times)
    return sum(means.get(cell.labels["architecture"], overall) for cell in missing)
