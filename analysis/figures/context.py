"""What all figures of a report share: the study, the normalizers' looks, and a few reductions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.figures.style import Look
from analysis.statistics import weighted
from analysis.study import Study, names
from analysis.text import short_labels


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A study made ready to draw. ``runs`` has a column ``setting``, the facets' label."""

    study: Study
    runs: pd.DataFrame
    looks: Mapping[str, Look]
    seed: int

    def rows(self, name: str) -> pd.DataFrame | None:
        """Reduced records (`analysis.reductions.summaries`) with ``setting`` and ``status``.

        Infinities are missing values. None where there are none.
        """
        frame = self.study.reduced.get(name)
        if frame is None or frame.empty:
            return None
        cells = frame["cell_id"].cat
        run = pd.Index(self.runs["cell_id"]).get_indexer(cells.categories)[cells.codes]
        known, run = frame[run >= 0], run[run >= 0]
        numbers = known.select_dtypes("number").replace([np.inf, -np.inf], np.nan)
        finite = {str(name): values for name, values in numbers.items()}
        labels = ("cell_id", "setting", "lr", "normalizer", "status")
        told = {label: _repeated(self.runs[label], run) for label in labels}
        return known.assign(**finite | told)

    @property
    def loss_unit(self) -> str:
        """Unit of the loss: nats where the data has classes."""
        classified = self.runs["test_accuracy"].notna().groupby(self.runs["data"]).any()
        units = {"nats" if known else "squared error" for known in classified}
        return " or ".join(sorted(units))

    def legend(self, frame: pd.DataFrame) -> dict[str, Look]:
        """Looks of the normalizers that a frame holds, in reading order."""
        present = set(frame["normalizer"].unique())
        return {label: look for label, look in self.looks.items() if label in present}


def _repeated(column: pd.Series, run: np.ndarray) -> Any:
    """A value for each row, by its run; words as categories, in the order in which words sort."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()[run]
    return pd.Categorical(column).take(run)


def settings(frame: pd.DataFrame, planned: pd.DataFrame) -> pd.Series:
    """Facet label of each row: short, with data and training where they vary."""
    varying = [name for name in ("data", "training") if planned[name].nunique() > 1]
    short = short_labels(names(planned["architecture"].astype(str)))
    parts = [
        frame["architecture"].astype(str).replace(short),
        *(frame[name].astype(str) for name in varying),
    ]
    label = parts[0]
    for part in parts[1:]:
        label = label + part.where(part == "", " · " + part)
    return label


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
    extra = [f"{count} {name}" for name, count in counts.items() if count]
    return ", ".join([plural(len(runs), "run"), *extra])


def plural(count: int, noun: str) -> str:
    """A count and its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
