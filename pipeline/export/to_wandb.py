"""Weights & Biases: a run per result of a cell."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.export.finished import Finished
from pipeline.export.marks import each_once
from pipeline.store import Store


def export(sweep: str, digests: Mapping[str, str], folder: Path, store: Store) -> int:
    """Write a run for each cell that is missing; returns how many. The sweep is the project."""
    wandb: Any = import_module("wandb")

    def write(cell: Finished) -> None:
        run = wandb.init(
            project=sweep,
            id=cell.run_id,
            name=cell.name,
            config=cell.settings,
            dir=str(folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow",
            settings=wandb.Settings(silent=True),
        )
        for step, values in cell.curves.items():
            run.log(values, step=step)
        run.summary.update({**cell.final, "status": cell.status})
        run.finish()

    return each_once(digests, folder, store, write)
