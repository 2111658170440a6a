"""Figures of one setting at one learning rate, for what has no room for more in a panel."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from analysis.figures.context import Scene, chosen_lr
from analysis.study import names

SAID = (
    "Learning rate {lr}: the one at which the fewest runs diverged or never left their initial "
    "loss, the largest of equals."
)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The runs and records of one setting at one learning rate; ``slug`` names its files."""

    setting: str
    slug: str
    lr: float
    runs: pd.DataFrame
    records: pd.DataFrame

    @property
    def description(self) -> str:
        """What a caption says about the learning rate."""
        return SAID.replace("{lr}", f"{self.lr:g}")

    @property
    def layers(self) -> int:
        """Number of layers of the setting's network."""
        return int(self.records["layers"].max())


def slices(scene: Scene, frame: pd.DataFrame) -> list[Slice]:
    """Every setting that has records, at its one learning rate."""
    found: list[Slice] = []
    taken: set[str] = set()
    recorded = frame["cell_id"].unique()
    for setting in names(frame["setting"].unique()):
        runs = scene.runs[scene.runs["setting"] == setting]
        runs = runs[runs["cell_id"].isin(recorded)]
        lr = chosen_lr(runs)
        runs = runs[runs["lr"] == lr]
        records = frame[(frame["setting"] == setting) & (frame["lr"] == lr)]
        slug = _unique(re.sub(r"[^A-Za-z0-9]+", "_", setting).strip("_").lower(), taken)
        found.append(Slice(setting=setting, slug=slug, lr=lr, runs=runs, records=records))
    return found


def _unique(slug: str, taken: set[str]) -> str:
    name, count = slug or "setting", 1
    while name in taken:
        count += 1
        name = f"{slug}_{count}"
    taken.add(name)
    return name


def numbers(part: Slice) -> dict[str, int]:
    """The counts of runs that a caption states."""
    sizes = part.runs.groupby("normalizer", observed=True)["cell_id"].nunique()
    return {"runs": int(sizes.sum()), "fewest": int(sizes.min()), "most": int(sizes.max())}
