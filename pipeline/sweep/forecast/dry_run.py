"""What a run would do, how long it would take and what it would cost: --dry-run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from pipeline.cli import duration
from pipeline.spec import Cell, Sweep
from pipeline.store import Store
from pipeline.sweep.changed_code import damage
from pipeline.sweep.forecast.buildable import check_networks, refusal
from pipeline.sweep.forecast.durations import Estimate, estimate
from pipeline.sweep.forecast.gpu_rates import any_measured, describe_gpu_hours
from pipeline.sweep.on_ray.gpus import has_gpu
from pipeline.sweep.on_ray.local_resources import usable_cpus
from pipeline.sweep.status import LOST_AT_MOST, STATES, by_state, to_run
from pipeline.trial.data_check import data_lines


def show_preview(
    sweep: Sweep,
    store: Store,
    retry_failed: bool,
    rerun_changed: bool,
    limit: int | None,
    concurrency: int | None,
    price: float | None,
) -> None:
    """Print the cells by state, and the time and the cost of those that would run."""
    standing = store.cell_states()
    found = by_state(sweep.cells, standing)
    print(f"{sweep.name}: {len(sweep.cells)} cells")
    for state, meaning in STATES.items():
        print(f"  {len(found[state]):>7}  {state:<8} {meaning}")
    for line in (*sweep.notes, *data_lines(sweep.cells)):
        print(f"  {line}")
    chosen = to_run(sweep.cells, store, standing, retry_failed, rerun_changed)
    kept = standing.finished - {cell.cell_id for cell in chosen}
    for line in (*_again(found, chosen), *_too_large(sweep), *damage(sweep.cells, store, kept)):
        print(line)
    if limit is not None and limit < len(chosen):
        print(f"--limit {limit}: of {len(chosen)} cells the first {limit}, which is what follows")
        chosen = chosen[:limit]
    if not chosen:
        print("nothing to run")
        return
    for line in _on_gpus(sweep, chosen):
        print(line)
    _show_time(sweep, store, chosen, standing.finished, concurrency, price)
    sys.stdout.flush()  # the check may take a while
    refuse_unbuildable(sweep, chosen)


def _show_time(
    sweep: Sweep,
    store: Store,
    chosen: Sequence[Cell],
    finished: set[str],
    concurrency: int | None,
    price: float | None,
) -> None:
    expected = estimate(sweep.cells, store, finished)
    seconds = expected.total(chosen)
    if seconds is None:
        print("time: not known before some cell has finished (--limit 4 tries four)")
        return
    print(f"time: about {duration(seconds)} of work{_wall(seconds, sweep, concurrency, expected)}")
    print(_cost(sweep, chosen, expected, price))


def refuse_unbuildable(sweep: Sweep, cells: Sequence[Cell]) -> None:
    """Refuse a sweep with cells that would fail on any machine.

    Raises:
        ValueError: with a line for each error.
    """
    checked = check_networks(cells)
    if checked.unknown:
        names = ", ".join(dict.fromkeys(cell.labels["data"] for cell in checked.unknown))
        print(f"not checked: networks and batches on {names}, whose size is known once it is read")
    if checked.errors:
        lines = refusal(checked).splitlines()
        raise ValueError("\n".join(f"{sweep.path}: {line}" for line in lines))


def _is_elsewhere() -> bool:
    return any(os.environ.get(key) for key in ("RAY_ADDRESS", "NORMSCOPE_CLUSTER"))


def _again(found: Mapping[str, Sequence[Cell]], chosen: Sequence[Cell]) -> Iterator[str]:
    """Lines on cells whose state alone does not tell whether they would run."""
    run = {cell.cell_id for cell in chosen}
    for state in ("done", "failed"):
        if count := sum(cell.cell_id in run for cell in found[state]):
            yield f"{count} {state} cells will run again"
    if left := sum(cell.cell_id not in run for cell in found["lost"]):
        yield f"{left} lost cells were lost in {LOST_AT_MOST} runs: only --retry-failed runs them"


def _too_large(sweep: Sweep) -> Iterator[str]:
    if not _is_elsewhere() and sweep.resources.cpus > usable_cpus():
        yield (
            f"resources: a cell asks for {sweep.resources.cpus} CPUs and this machine has "
            f"{usable_cpus()}; lower resources.cpus, or run on a cluster"
        )


def _on_gpus(sweep: Sweep, chosen: Sequence[Cell]) -> list[str]:
    """Lines on what needs a GPU, and on the GPU-hours of a sweep that is made for GPUs."""
    tf32 = sum(cell.settings["training"]["precision"] == "tf32" for cell in chosen)
    lines = []
    if tf32 and not _is_elsewhere() and not has_gpu():
        shared = "" if sweep.resources.gpus is None else " --set resources.gpus=null"
        lines.append(
            f"precision: {tf32} cells train in tf32, which needs an NVIDIA GPU, and this machine "
            f"has none; to run them here: --set training.precision=float32{shared}"
        )
    if tf32 or sweep.resources.gpus is not None or any_measured(chosen):
        lines += describe_gpu_hours(chosen)
    return lines


def _wall(seconds: float, sweep: Sweep, concurrency: int | None, expected: Estimate) -> str:
    """The time that passes; how many cells share GPUs that are elsewhere, only the user knows."""
    if concurrency is None and expected.on_gpus:
        return " on GPUs; --concurrency N tells the time with N cells at once"
    here = max(1, usable_cpus() // sweep.resources.cpus)
    slots = here if concurrency is None else concurrency
    if not _is_elsewhere():
        slots = min(slots, here)
    return f", {duration(seconds / slots)} on {slots} slots"


def _cost(sweep: Sweep, chosen: Sequence[Cell], expected: Estimate, price: float | None) -> str:
    """GPU-hours, each cell counted with its share of a GPU, and money if a price is given."""
    if not expected.on_gpus:
        hours = sweep.resources.cpus * (expected.total(chosen) or 0.0) / 3600
        unknown = "" if price is None else "; no price: it is of GPU-hours, and cells ran on CPUs"
        return f"cost: about {hours:.2g} CPU-hours{unknown}"
    hours = 0.0
    for cell in chosen:
        gpus = sweep.resources.gpus_of(cell)
        hours += (1.0 if gpus is None else gpus) * (expected.seconds(cell) or 0.0) / 3600
    money = "" if price is None else f", {hours * price:,.2f} at {price:g} a GPU-hour"
    return f"cost: about {hours:.2g} GPU-hours{money}"
