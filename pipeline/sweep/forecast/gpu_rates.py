"""GPU-hours of cells from measured rates (`gpu_rates.json`, explained in docs/gpu.md).

The file has training steps per second by precision and architecture, each measured by our loop or
by a bare loop, which is at least as fast. What has not been measured is unknown.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.spec import Cell

_OURS = "ours"


@cache
def _table() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("gpu_rates.json").read_text(encoding="utf-8"))


def steps_per_second(cell: Cell) -> tuple[str, float] | None:
    """The loop and the rate that were measured for such a cell; None if there is none.

    The architecture must have its default options, the data and the batch size be those of the
    measurement. Other normalizers than the measured one are taken to be as fast.
    """
    table, training = _table(), cell.settings["training"]
    if cell.settings["data"]["name"] not in table["data"]:
        return None
    if training["batch_size"] != table["batch_size"]:
        return None
    measured = table["steps_per_second"].get(training["precision"])
    rate = measured and measured["rates"].get(cell.labels["architecture"])
    return (measured["loop"], rate) if rate else None


def describe_gpu_hours(cells: Sequence[Cell]) -> list[str]:
    """Lines on the GPU-hours of the training of cells; each with its source, or unknown."""
    hours: dict[str, float] = defaultdict(float)
    unknown = []
    for cell in cells:
        found = steps_per_second(cell)
        if found is None:
            unknown.append(cell)
        else:
            hours[found[0]] += cell.settings["training"]["steps"] / found[1] / 3600
    lines = [f"GPU-hours: {_describe(loop, value)}" for loop, value in hours.items()]
    if unknown:
        kinds = ", ".join(dict.fromkeys(_kind(cell) for cell in unknown))
        count = f"{len(unknown)} of {len(cells)} cells"
        lines.append(f"GPU-hours: unknown for {kinds} ({count}), which is not measured")
    return lines


def _describe(loop: str, hours: float) -> str:
    table = _table()
    amount = f"about {hours:.2g}" if loop == _OURS else f"at least {hours:.2g}"
    how = "" if loop == _OURS else f" by a {loop}"
    return (
        f"{amount}, one cell at a time, measured on {table['card']}{how} "
        f"(commit {table['commit']}, normalizer {table['normalizer']}), probes not counted"
    )


def _kind(cell: Cell) -> str:
    return f"{cell.labels['architecture']} in {cell.settings['training']['precision']}"


def any_measured(cells: Iterable[Cell]) -> bool:
    """Whether a rate is known for one of the cells."""
    return any(steps_per_second(cell) is not None for cell in cells)
