"""What all figures of a report share: the study, the normalizers' looks, and a few reductions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.load import Study
from analysis.stats import weighted
from analysis.style import Look
from analysis.views import VIEWS

BINS = 100
"""Steps of a curve are averaged in at most so many bins: more cannot be told apart in a panel."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A study made ready to draw. ``runs`` has a column ``setting``, the facets' label."""

    study: Study
    runs: pd.DataFrame
    looks: Mapping[str, Look]
    seed: int

    def records(self, name: str) -> pd.DataFrame | None:
        """Rows of a record table with ``setting`` and ``status``, infinities as missing.

        Of the moments those of what enters the nonlinearity.
        """
        frame = self.study.records.get(name)
        if frame is None or frame.empty:
            return None
        if name == "moment_ics":
            frame = VIEWS[name].rows(frame)
        known = self.runs.set_index("cell_id")
        frame = frame.assign(cell_id=frame["cell_id"].astype(str))
        frame = frame[frame["cell_id"].isin(known.index)]
        labels = ("setting", "lr", "normalizer", "status")
        found = {label: frame["cell_id"].map(known[label]) for label in labels}
        numbers = frame.select_dtypes("number").replace([np.inf, -np.inf], np.nan)
        return frame.assign(**{str(k): v for k, v in numbers.items()}).assign(**found)

    @property
    def loss_unit(self) -> str:
        """Unit of the loss: nats where the data has classes."""
        classified = self.runs["test_accuracy"].notna().groupby(self.runs["data"]).any()
        units = {"nats" if known else "squared error" for known in classified}
        return " or ".join(sorted(units))

    def legend(self, frame: pd.DataFrame) -> dict[str, Look]:
        """Looks of the normalizers that a frame holds, in reading order."""
        present = set(frame["normalizer"])
        return {label: look for label, look in self.looks.items() if label in present}


def settings(frame: pd.DataFrame, planned: pd.DataFrame) -> pd.Series:
    """Facet label of each row: its architecture, with data and training where those vary."""
    varying = [name for name in ("data", "training") if planned[name].nunique() > 1]
    parts = [frame["architecture"].astype(str), *(frame[name].astype(str) for name in varying)]
    label = parts[0]
    for part in parts[1:]:
        label = label + part.where(part == "", " · " + part)
    return label


def binned(frame: pd.DataFrame, y: str) -> pd.DataFrame:
    """Mean of ``y`` in bins of steps, a run at a time; no bins where there are few steps."""
    frame = frame.dropna(subset=[y])
    width = int(np.ceil((frame["step"].max() + 1) / BINS)) if len(frame) else 1
    middle = (frame["step"] // width) * width + (width - 1) / 2
    return by_run(frame.assign(step=middle), ["step"], y, "mean")


def by_run(frame: pd.DataFrame, x: Sequence[str], y: str, how: str) -> pd.DataFrame:
    """Reduce ``y`` to one value a run and ``x``: the run is the unit of every band."""
    keys = ["setting", "lr", "normalizer", "cell_id", "status", *x]
    return frame.groupby(keys, observed=True, sort=True)[y].agg(how).reset_index()


def centers(frame: pd.DataFrame, by: Sequence[str], ys: Sequence[str]) -> pd.DataFrame:
    """Interquartile mean over runs of each of ``ys``, by ``by``."""
    return frame.groupby(list(by), observed=True)[list(ys)].agg(_center).reset_index()


def _center(values: pd.Series) -> float:
    known = values.dropna().to_numpy(float)
    return float(weighted(known)) if len(known) else np.nan


def ends(frame: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """The last value of every diverged run: where its line ends with a cross."""
    lost = frame[frame["status"] == "diverged"].dropna(subset=[y])
    return lost.sort_values(x, kind="stable").groupby("cell_id", sort=True).tail(1)


def chosen_lr(runs: pd.DataFrame) -> float:
    """The learning rate with the fewest diverged or stuck runs, the largest of equals."""
    lost = (runs["status"] == "diverged") | runs["stuck"].astype(bool)
    counts = lost.groupby(runs["lr"].astype(float)).sum()
    return float(counts[counts == counts.min()].index.max())


def condition(runs: pd.DataFrame) -> str:
    """How the runs of one row ended, in words: ``3 runs, 1 diverged``."""
    counts = {
        "diverged": int((runs["status"] == "diverged").sum()),
        "stuck": int(runs["stuck"].astype(bool).sum()),
    }
    said = [f"{count} {name}" for name, count in counts.items() if count]
    return ", ".join([plural(len(runs), "run"), *said])


def plural(count: int, noun: str) -> str:
    """A count and its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
