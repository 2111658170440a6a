"""Each run becomes one row of numbers: the step between records and tables.

The *smoothed* loss is the trailing mean of the training loss over 2 % of the planned steps, at
least 5. A run *has learned something* from the first step on at which the smoothed loss is at most
0.95 of the loss at chance (of the best constant prediction; ln K for K classes); until then it is
on the plateau. It is *stuck* if it ends above that. The *level* of a block (data × training ×
architecture) is the smallest loss that at least 80 % of its runs reach, diverged and stuck ones
not counted; half of the loss at chance where that is lower and some run reaches it. *Early* is
from 5 to 25 % of the planned steps, *late* their second half. Values that are not finite, values
from the step of divergence on, and values on the plateau are left out.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

BLOCK = ["data", "training", "architecture"]
"""What cells must share to be compared: the rows of a table differ in their normalizer alone."""

REACHED_BY = 0.8
STUCK_ABOVE = 0.95
"""Share of the loss at chance above which a run has learned nothing."""
TARGET_SHARE = 0.5
"""A target above this share of the loss at chance asks for little: it is marked."""
SMOOTH_SHARE = 0.02
SMOOTH_LEAST = 5
WINDOW = (0.05, 0.25)
"""Early, as shares of the planned steps: before most of what a measure is to foretell."""
LATE = (0.5, math.inf)
ENOUGH = 0.5
"""Share of a phase's probes that must be off the plateau for the phase to have a reading."""


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
    """Finished runs whose last smoothed loss is above 0.95 × the loss at chance.

    They have learned nothing, whatever their first loss was. Diverged runs are not stuck.
    """
    last = training.groupby("cell_id", observed=True)["smooth_loss"].last()  # that is known
    final = runs["cell_id"].map(last).astype(float).fillna(runs["final_train_loss"])
    return (final > STUCK_ABOVE * runs["chance_loss"]) & (runs["status"] == "ok")


def learned_step(runs: pd.DataFrame, training: pd.DataFrame) -> pd.Series:
    """First step at which each run has learned something; NaN if it never has, or is stuck."""
    first = reach_step(runs, training, STUCK_ABOVE * runs["chance_loss"])
    return first.where(~runs["stuck"].astype(bool))


def learned(probes: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The probes that are off the plateau: at or after their run's ``learned`` step."""
    return probes[_has_learned(probes, runs)]


def _has_learned(probes: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    first = probes["cell_id"].map(runs.set_index("cell_id")["learned"]).astype(float)
    return probes["step"] >= first


def levels(runs: pd.DataFrame, training: pd.DataFrame) -> pd.Series:
    """The block's loss level, per run (indexed as ``runs``): see above; NaN if no run counts."""
    lowest = runs["cell_id"].map(training.groupby("cell_id", observed=True)["smooth_loss"].min())
    counted = lowest.astype(float).where((runs["status"] == "ok") & ~runs["stuck"])
    block = [runs[name] for name in BLOCK]
    common, half = counted.groupby(block).transform(_level), TARGET_SHARE * runs["chance_loss"]
    reached = (counted <= half).groupby(block).transform("any")
    return common.mask(reached & (common > half), half)


def is_weak(runs: pd.DataFrame) -> pd.Series:
    """Runs whose ``level`` asks for little: no run of the block reaches half the loss at chance."""
    return runs["level"] > TARGET_SHARE * runs["chance_loss"]


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
    """Per run, the mean over the probes from 5 to 25 % of the planned steps; see `_phase`."""
    return _phase(probes, runs, WINDOW)


def late(probes: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per run, the mean over the probes of the second half of the planned steps; see `_phase`."""
    return _phase(probes, runs, LATE)


def at_loss(probes: pd.DataFrame, runs: pd.DataFrame, reached: pd.Series) -> pd.DataFrame:
    """Per run, the first probe at or after the step where the run reached its block's level."""
    from_step = probes["cell_id"].map(pd.Series(reached.to_numpy(), runs["cell_id"])).astype(float)
    after = probes[probes["step"] >= from_step].drop(columns="step")
    return after.groupby("cell_id", observed=True).nth(0).set_index("cell_id")


def end(probes: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per run, the last probe, if the run has learned something by then."""
    own = learned(probes, runs).drop(columns="step")
    return own.groupby("cell_id", observed=True).nth(-1).set_index("cell_id")


def _phase(probes: pd.DataFrame, runs: pd.DataFrame, share: tuple[float, float]) -> pd.DataFrame:
    """Per run, the mean over the probes within these shares of the planned steps.

    Probes on the plateau are left out; a run with more than half of them there has no reading.
    """
    planned = probes["cell_id"].map(runs.set_index("cell_id")["steps"]).astype(float)
    inside = (probes["step"] >= share[0] * planned) & (probes["step"] <= share[1] * planned)
    own, counts = probes[inside], _has_learned(probes[inside], runs)
    known = counts.groupby(own["cell_id"], observed=True).transform("mean") >= ENOUGH
    return _mean(own[counts & known])


def _mean(probes: pd.DataFrame) -> pd.DataFrame:
    return probes.drop(columns="step").groupby("cell_id", observed=True).mean()
