"""Trackio: a run per cell in Trackio's own local database."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.export.finished import Finished
from pipeline.export.marks import each_once
from pipeline.store import Store


def export(sweep: str, digests: Mapping[str, str], folder: Path, store: Store) -> int:
    """Write a run for each cell that is missing; returns how many. The sweep is the project."""
    trackio: Any = import_module("trackio")

    def write(cell: Finished) -> None:
        config = {**cell.settings, "status": cell.status}
        # A GPU of the exporting machine has nothing to do with the run.
        how: dict[str, Any] = {"config": config, "embed": False, "auto_log_gpu": False}
        run = trackio.init(project=sweep, name=cell.name, **how)
        last = max(cell.curves, default=0)
        for step, values in {last: {}, **cell.curves}.items():
            run.log({**values, **(cell.final if step == last else {})}, step=step)
        run.finish()

    return each_once(digests, folder, store, write)
