"""How many cells run at once on the joined cluster, and how many GPUs each gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pipeline.sweep.on_ray.ray_settings  # noqa: F401 — before Ray

# isort: split
import ray

from pipeline.spec import Cell, Resources, refuse_tf32
from pipeline.sweep.on_ray.capacity import resources_at_full_size
from pipeline.sweep.on_ray.gpus import describe_sharing


def max_concurrent_cells(
    cells: Sequence[Cell], resources: Resources, concurrency: int | None
) -> int:
    """How many cells run at once on this cluster, at most.

    Raises:
        ValueError: if the cluster can never run one of the cells.
    """
    have = resources_at_full_size(ray.cluster_resources())
    _refuse_tf32_on_cpus(cells, resources, default_gpus(have))
    shares = {gpus_of(cell, resources, default_gpus(have)) for cell in cells}
    for kind, need in (("CPU", resources.cpus), ("GPU", max(shares))):
        if need > have.get(kind, 0):
            raise ValueError(
                f"resources: a cell asks for {need:g} {kind}s and the cluster has "
                f"{have.get(kind, 0):g}; lower resources.{kind.lower()}s"
            )
    count = int(have["CPU"] // resources.cpus)
    if least := min(shares):
        count = min(count, _on_gpus(have["GPU"], least))
    return min(count, concurrency or count)


def _on_gpus(cards: float, share: float) -> int:
    """Cells that fit on cards: ⌊1/share⌋ on each, a share being a multiple of 1e-4 for Ray."""
    if share > 1:
        return int(cards // share)
    return int(cards) * (10_000 // round(10_000 * share))


def _refuse_tf32_on_cpus(cells: Sequence[Cell], resources: Resources, default: float) -> None:
    for cell in cells:
        if not gpus_of(cell, resources, default):
            refuse_tf32(cell.settings["training"], "CPUs, and this cluster has no GPU")


def sharing(cells: Sequence[Cell], resources: Resources) -> str | None:
    """A line on how cells share the GPUs that there are; None if they do not."""
    have = resources_at_full_size(ray.cluster_resources())
    least = min(gpus_of(cell, resources, default_gpus(have)) for cell in cells)
    return describe_sharing(least) if have.get("GPU", 0) and 0 < least < 1 else None


def gpu_shares(cells: Sequence[Cell], resources: Resources) -> dict[str, float]:
    """GPUs that each cell gets on this cluster, by cell id."""
    default = default_gpus(resources_at_full_size(ray.cluster_resources()))
    return {cell.cell_id: gpus_of(cell, resources, default) for cell in cells}


def gpus_of(cell: Cell, resources: Resources, default: float) -> float:
    """GPUs of a cell, or its share of one."""
    given = resources.gpus_of(cell)
    return default if given is None else given


def default_gpus(have: Mapping[str, float]) -> float:
    """GPUs of a cell whose settings say nothing: one if the cluster has any, else none."""
    return float(have.get("GPU", 0) > 0)
