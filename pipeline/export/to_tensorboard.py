"""TensorBoard: a folder of events per cell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.export.finished import Finished
from pipeline.export.marks import each_once
from pipeline.store import Store


def export(sweep: str, digests: Mapping[str, str], folder: Path, store: Store) -> int:
    """Write the events of the cells that are missing; returns how many."""
    from torch.utils.tensorboard import SummaryWriter

    del sweep

    def write(cell: Finished) -> None:
        own = folder / cell.cell_id
        shutil.rmtree(own, ignore_errors=True)  # the events of an interrupted export
        with SummaryWriter(str(own)) as writer:
            writer.add_text("settings", f"```json\n{json.dumps(cell.settings, indent=1)}\n```")
            for step, values in cell.curves.items():
                for key, value in values.items():
                    writer.add_scalar(key, value, step)
            for key, value in cell.final.items():
                writer.add_scalar(key, value, max(cell.curves, default=0))

    return each_once(digests, folder, store, write)
