"""Sweeps for tests of clusters, and what they have left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
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


_BRAKE = '''
import time
from pathlib import Path

from torch import nn

from pipeline.normalizers import Normalizer

ON, HELD = Path({on!r}), Path({held!r})


class Brake(nn.Module):
    passes, slow = 0, False

    def forward(self, x):
        self.passes += 1
        self.slow = ON.exists() if self.passes == 100 else self.slow and ON.exists()
        if self.slow:
            HELD.touch()
            time.sleep(0.05)
        return x


def brake() -> Normalizer:
    """Change nothing; take time."""
    return Normalizer(features=lambda channels: Brake())
'''


@dataclass(frozen=True)
class Brake:
    """Files that slow down cells of `write_braked_sweep`."""

    on: Path
    """While it is there, a cell that takes its first steps takes hours for the others."""
    held: Path
    """It is there once such a cell runs."""


def write_braked_sweep(folder: Path, *, cells: int, steps: int) -> tuple[Path, Brake]:
    """Write a sweep as `write_sweep` does; a test can keep its cells from ending."""
    brake = Brake(folder / "brake-on", folder / "brake-held")
    part = folder / "braking" / "normalizers" / "brake.py"
    part.parent.mkdir(parents=True)
    part.write_text(_BRAKE.format(on=str(brake.on), held=str(brake.held)))
    file = write_sweep(folder, cells=cells, steps=steps)
    content = yaml.safe_load(file.read_text())
    content["base"]["normalizer"] = "braking/brake"
    file.write_text(yaml.safe_dump({**content, "parts": ["braking"]}))
    return file, brake


def results(storage: Path) -> dict[str, int]:
    """Finished cells, and when their results were written."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in storage.glob("cells/*/result.json")
    }


def wait(
    condition: Callable[[], object], why: str, seconds: float = 240, every: float = 0.05
) -> None:
    """Wait until a condition holds, or fail; it is looked at every so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, why
        time.sleep(every)
