"""Each run becomes one row of numbers: the step between records and tables.

The *smoothed* loss is the trailing mean of the training loss over 2 % of the planned steps, at
least 5. The *level* of a block (data × training × architecture) is the smallest loss that at least
80 % of its runs reach, diverged and stuck ones not counted. *Early* and *late* are the steps before
and from half of the planned steps. Values that are not finite, and values from the step of
divergence on, are left out.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

BLOCK = ["data", "training", "architecture"]
"""What cells must share to be compared: the rows of a table differ in their normalizer alone."""

REACHED_BY = 0.8
STUCK_ABOVE = 0.95
SMOOTH_SHARE = 0.02
SMOOTH_LEAST = 5
WINDOW = (0.05, 0.25)
"""Shares of the run in which a measure is read that is to foretell what comes later."""


def smooth(training: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Add ``smooth_loss``; NaN where the batch loss is, so in the last row of a finished run."""
    if "train_loss" not in training:
        return training.assign(train_loss=np.nan, smooth_loss=np.nan)
    loss = training["train_loss"].where(np.isfinite(training["train_loss"]))
    steps = training["cell_id"].map(runs.set_index("cell_id")["steps"]).astype(float)
    width = np.maximum(SMOOTH_LEAST, np.ceil(SMOOTH_SHARE * steps)).astype(int)
    parts = [
        loss[width == size]
        .groupby(training["cell_id"], observed=True)
        .rolling(size, min_periods=1)
        .mean()
        .droplevel(0)
        for size in np.unique(width)
    ]
    smoothed = pd.concat(parts) if parts else pd.Series(dtype=float)
    return training.assign(smooth_loss=smoothed.reindex(training.index).where(loss.notna()))


def is_stuck(runs: pd.DataFrame, training: pd.DataFrame) -> pd.Series:
    """Runs of a classification whose last smoothed loss is above 0.95 × the first loss.

    They never left the plateau, where landscapes look smooth. Diverged runs are not stuck.
    """
    last = training.groupby("cell_id", observed=True)["smooth_loss"].last()  # that is known
    final = runs["cell_id"].map(last).astype(float).fillna(runs["final_train_loss"])
    flat = final > STUCK_ABOVE * runs["initial_loss"]
    return flat & (runs["status"] == "ok") & classification(runs)


def classification(runs: pd.DataFrame) -> pd.Series:
    """Whether the run's data has classes: some run on it has an accuracy."""
    known = runs[["train_accuracy", "test_accuracy"]].notna().any(axis=1)
    return known.groupby(runs["data"]).transform("any")


def levels(runs: pd.DataFrame, training: pd.DataFrame) -> pd.Series:
    """The block's loss level, per run (indexed as ``runs``): see above; NaN if no run counts."""
    lowest = runs["cell_id"].map(training.groupby("cell_id", observed=True)["smooth_loss"].min())
    counted = lowest.astype(float).where((runs["status"] == "ok") & ~runs["stuck"])
    return counted.groupby([runs[name] for name in BLOCK]).transform(_level)


def _level(lowest: pd.Series) -> float:
    reached = np.sort(lowest.dropna().to_numpy())
    return reached[math.ceil(REACHED_BY * len(reached)) - 1] if len(reached) else math.nan


def reach_step(runs: pd.DataFrame, training: pd.DataFrame, level: pd.Series) -> pd.Series:
    """First step whose smoothed loss is at or below the run's level; NaN if there is none."""
    aim = training["cell_id"].map(pd.Series(level.to_numpy(), runs["cell_id"])).astype(float)
    hit = training[training["smooth_loss"] <= aim]
    first = hit.groupby("cell_id", observed=True)["step"].min()
    return runs["cell_id"].map(first).astype(float)


def early(probes: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per run, the mean over the probes of the first half of the planned steps."""
    return _mean(probes[probes["step"] < _half(probes, runs)])


def late(probes: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per run, the mean over the probes of the second half of the planned steps."""
    return _mean(probes[probes["step"] >= _half(probes, runs)])


def at_loss(probes: pd.DataFrame, runs: pd.DataFrame, reached: pd.Series) -> pd.DataFrame:
    """Per run, the first probe at or after the step where the run reached its block's level."""
    from_step = probes["cell_id"].map(pd.Series(reached.to_numpy(), runs["cell_id"])).astype(float)
    after = probes[probes["step"] >= from_step].drop(columns="step")
    return after.groupby("cell_id", observed=True).nth(0).set_index("cell_id")


def end(probes: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per run, the last probe."""
    return (
        probes.drop(columns="step").groupby("cell_id", observed=True).nth(-1).set_index("cell_id")
    )


def window(
    probes: pd.DataFrame, runs: pd.DataFrame, share: tuple[float, float] = WINDOW
) -> pd.DataFrame:
    """Per run, the mean over the probes within these shares of the planned steps."""
    planned = 2 * _half(probes, runs)
    inside = (probes["step"] >= share[0] * planned) & (probes["step"] <= share[1] * planned)
    return _mean(probes[inside])


def _half(probes: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    return probes["cell_id"].map(runs.set_index("cell_id")["steps"]).astype(float) / 2


def _mean(probes: pd.DataFrame) -> pd.DataFrame:
    return probes.drop(columns="step").groupby("cell_id", observed=True).mean()
