"""Sweeps for tests of clusters, and what they have left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import yaml


def write_sweep(folder: Path, *, cells: int, steps: int) -> Path:
    """Write a sweep of equal cells; a thousand steps take about half a second."""
    content = {
        "name": "there",
        "base": {
            "data": {"name": "gaussian", "samples": 64},
            "architecture": {"name": "deep_linear", "depth": 4},
            "normalizer": "none",
            "training": {"steps": steps, "batch_size": None, "lr": 1e-5, "evaluate_every": steps},
        },
        "seeds": cells,
    }
    file = folder / "there.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def results(storage: Path) -> dict[str, int]:
    """Finished cells, and when their results were written."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in storage.glob("cells/*/result.json")
    }


def wait(condition: Callable[[], object], why: str, seconds: float = 240) -> None:
    """Wait until a condition holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)
