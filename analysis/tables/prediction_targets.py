"""What comes after a measure was read: how fast a run then was, and how it generalizes.

A measure is read from 5–25 % of the planned steps (*matched step*), or at the first probe after the
smoothed training loss is halfway, in its logarithm, from the block's first loss to its target
(*matched loss*). A stuck run has no reading: on a plateau any landscape looks smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.metrics import Probed
from analysis.reductions import BLOCK, over_steps

At = Literal["step", "loss", "end"]
ENVIRONMENT = [*BLOCK, "lr", "seed"]
"""What runs share when their normalizers are ranked."""


SAID = {
    "speed": "speed",
    "speed_loss": "speed, at matched loss",
    "test": "generalization",
    "test_loss": "generalization, both at matched loss",
}
"""What each outcome is, in words."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """An outcome, larger is better, and where the measures that are to foretell it are read.

    Attributes:
        name: of its columns, a key of `SAID`. at: where measures are read.
        value: one a run, indexed as the runs.
    """

    name: str
    at: At
    value: pd.Series


def outlooks(runs: pd.DataFrame, training: pd.DataFrame) -> list[Outlook]:
    """The four outcomes of a study's runs (of `outcomes.outcomes`)."""
    later = runs["time"].clip(lower=over_steps.WINDOW[1] * runs["steps"])
    halfway = runs["time"] - over_steps.reach_step(runs, training, middle(runs))
    remaining = halfway.where(runs["status"] != "diverged", runs["steps"])
    at_target = at_evaluation(runs, training)
    tested = at_target["test_accuracy"].fillna(-at_target["test_loss"])
    return [
        Outlook(name="speed", at="step", value=-later),
        Outlook(name="speed_loss", at="loss", value=-remaining),
        Outlook(name="test", at="step", value=_tested(runs)),
        Outlook(name="test_loss", at="end", value=tested),
    ]


def _tested(runs: pd.DataFrame) -> pd.Series:
    """Final test accuracy, or minus the test loss where the data has no classes."""
    loss = runs["test_loss"] if "test_loss" in runs else pd.Series(np.nan, runs.index)
    return runs["accuracy"].fillna(-loss.where(runs["status"] != "diverged"))


def middle(runs: pd.DataFrame) -> pd.Series:
    """Per run, the geometric mean of its block's median first loss and its target."""
    first = runs.groupby(BLOCK)["initial_loss"].transform("median")
    with np.errstate(invalid="ignore"):
        return pd.Series(np.sqrt(first * runs["level"]), runs.index)


def at_evaluation(runs: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy and loss, and the smoothed training loss, where the target was reached.

    The first evaluated step at or after it; NaN where there is none. Indexed as ``runs``.
    """
    names = ["test_accuracy", "test_loss", "smooth_loss"]
    frame = training.reindex(columns=["cell_id", "step", *names])
    frame = frame.assign(smooth_loss=frame.groupby("cell_id", observed=True)["smooth_loss"].ffill())
    evaluated = frame[frame[["test_accuracy", "test_loss"]].notna().any(axis=1)]
    found = over_steps.at_loss(evaluated, runs, runs["reached"]).reindex(runs["cell_id"])
    return found.set_axis(runs.index)[names].astype(float)


class Readings:
    """The measures' values of each run, larger is better; NaN for stuck runs. Indexed as runs."""

    def __init__(self, probes: dict[str, pd.DataFrame], runs: pd.DataFrame) -> None:
        self.probes, self.runs = probes, runs
        self._reduced: dict[tuple[str, At], pd.DataFrame] = {}

    def read(self, item: Probed, at: At) -> pd.Series:
        """One measure, where an outlook wants it read."""
        reduced = self._view(item.record, at)
        if item.column not in reduced:
            return pd.Series(np.nan, self.runs.index)
        found = reduced[item.column].where(~self.runs["stuck"])
        return -found if item.measure.better == "lower" else found

    def _view(self, name: str, at: At) -> pd.DataFrame:
        if (name, at) not in self._reduced:
            view, runs = self.probes[name], self.runs
            if at == "step":
                reduced = over_steps.early(view, runs)
            else:
                reduced = over_steps.at_loss(
                    view, runs, runs["reached" if at == "end" else "halfway"]
                )
            in_order = reduced.reindex(runs["cell_id"]).set_axis(runs.index)
            self._reduced[name, at] = in_order.astype(float)
        return self._reduced[name, at]


def with_halfway(runs: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """Runs with the step at which each was halfway to its target."""
    return runs.assign(halfway=over_steps.reach_step(runs, training, middle(runs)))


class Arena:
    """Where normalizers are ranked: environments, and the runs in each.

    Attributes:
        blocks: (environments,) the labels of each one's block, a tuple. names: with the learning
        rate, the environments of the sign-error. architectures: (runs,) each run's.
    """

    def __init__(self, runs: pd.DataFrame) -> None:
        where = runs[ENVIRONMENT].astype(str).agg("\x1f".join, axis=1)
        first = ~where.duplicated()
        self.architectures = runs["architecture"].astype(str).to_numpy()
        self._row = where.map({name: i for i, name in enumerate(where[first])}).to_numpy(int)
        names = sorted(set(runs["normalizer"].astype(str)))
        self._column = runs["normalizer"].astype(str).map(names.index).to_numpy(int)
        self._shape = (int(first.sum()), len(names))
        labels = runs.loc[first, BLOCK].astype(str)
        self.blocks = list(labels.itertuples(index=False, name=None))
        rates = runs.loc[first, "lr"].astype(str)
        self.names = (labels.agg(" · ".join, axis=1) + " · " + rates).to_numpy()

    def ranked(self, values: pd.Series) -> np.ndarray:
        """A value of each run as (environments, normalizers)."""
        wide = np.full(self._shape, np.nan)
        wide[self._row, self._column] = values.to_numpy(float)
        return wide


def controls(runs: pd.DataFrame, probes: dict[str, pd.DataFrame]) -> np.ndarray:
    """(runs, 3): log learning rate, log first loss, log ‖∇L‖ in the window, where known."""
    view = probes["landscape"]
    norm = pd.Series(1.0, runs.index)
    if "gradient_norm" in view:
        norm = runs["cell_id"].map(over_steps.early(view, runs)["gradient_norm"]).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.column_stack([runs["lr"], runs["initial_loss"], norm]).astype(float))
