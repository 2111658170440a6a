"""A copy of the pipeline with cells whose steps sleep: work that takes time and no processor."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.helpers.machines.pipeline_copy import copied

_STEPS = 20

_PART = '''"""Sleeps."""

import os
import time

from torch import nn

from pipeline.normalizers import Normalizer


class Sleeping(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.told = seconds, False

    def forward(self, x):
        if self.training:
            if not self.told:
                with open(os.environ["FIRST_STEPS"], "a") as file:
                    file.write(f"{time.time()}\\n")
            self.told = True
            time.sleep(self.seconds)
        return x


def sleeping(*, seconds: float) -> Normalizer:
    """Sleeps in every training step, and tells when the first one of its cell begins."""
    return Normalizer(features=lambda channels: Sleeping(seconds))
'''


@dataclass(frozen=True)
class Bedroom:
    """A folder with the copied pipeline, ``sweep.yaml``, a store, and when cells began to train."""

    folder: Path

    @property
    def storage(self) -> Path:
        """Where results go."""
        return self.folder / "results"

    @property
    def first_steps(self) -> Path:
        """A line for each cell: when its first step began, in seconds since the epoch."""
        return self.folder / "first_steps.txt"

    def begun(self) -> int:
        """How many cells have begun to train."""
        return self.first_steps.read_text().count("\n") if self.first_steps.exists() else 0

    def began(self) -> float:
        """When the first step of the first cell began."""
        return min(float(line) for line in self.first_steps.read_text().splitlines())

    def training_seconds(self) -> list[float]:
        """Of every finished cell: the seconds that its steps took."""
        results = self.storage.glob("cells/*/result.json")
        return [json.loads(path.read_text())["cost"]["training_seconds"] for path in results]


def bedroom(folder: Path, cells: int, seconds: float) -> Bedroom:
    """Copy the pipeline and write a sweep of cells that train for so many seconds."""
    copied(folder, "sleeping", _PART)
    content = {
        "name": "sleeping",
        "base": {
            "data": {"name": "gaussian", "samples": 64},
            "architecture": {"name": "deep_linear", "depth": 2},
            "training": {"steps": _STEPS, "batch_size": None, "lr": 1e-4, "evaluate_every": _STEPS},
            "normalizer": {"name": "sleeping", "seconds": seconds / _STEPS},
        },
        "seeds": cells,
        "resources": {"cpus": 1},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    return Bedroom(folder)


def slope(counts: list[int], sizes: list[float]) -> float:
    """Growth of sizes per count over the second half of the counts: least squares."""
    late = [(c, s) for c, s in zip(counts, sizes, strict=True) if c >= max(counts) / 2]
    if len({c for c, _ in late}) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*late, strict=True)).slope
