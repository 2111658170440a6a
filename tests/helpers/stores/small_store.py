"""The smallest synthetic store that has pairs of runs, and files in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.store.store import Store

SMALL: dict[str, Any] = {
    "architectures": ["vgg11"],
    "normalizers": ["none", "batch"],
    "seeds": [0, 1],
}


def cell_of(folder: Path, normalizer: str, lr: float, seed: int, sweep: str = "synthetic") -> str:
    labels = Store(str(folder)).plan(sweep)["labels"]
    wanted = (normalizer, lr, seed)
    found = [c for c, at in labels.items() if (at["normalizer"], at["lr"], at["seed"]) == wanted]
    return found[0]


def plan_file(folder: Path, sweep: str = "synthetic") -> Path:
    """The file of a sweep's only plan."""
    (file,) = (folder / "sweeps" / sweep).iterdir()
    return file
