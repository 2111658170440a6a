"""How training went: each run's outcomes, and at which learning rate a normalizer is judged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.reductions import BLOCK, learned_step, levels, reach_step
from analysis.statistics import estimates

ROW = [*BLOCK, "normalizer"]
"""What makes a row of a table."""


def outcomes(runs: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """Runs with ``level``, ``reached`` (step), ``time``, ``loss``, ``accuracy`` (%), ``score``.

    And ``learned``, the step from which on it has learned something (`reduce`); ``chance``, the
    accuracy (%) of a network on its data that has learned nothing; ``train_percent`` and
    ``loss_share``, the final training accuracy (%) and the final loss over the loss at chance;
    ``dead``: diverged, or stuck at its end.

    A run that its time limit cut (``time_limit``) has the horizon as its time if it had not reached
    the level, the worst that it can be, and no loss or accuracy. A diverged run is last in each:
    its time is the horizon, its accuracy chance (e^−(loss at chance), 1/K for K classes of equal
    size; 0 where that loss is not known), its loss the largest first or final loss of its block. A
    stuck run has the horizon as its time too, whatever it reached on its way; its other numbers are
    its own. The score, by which a learning rate is chosen, is the validation accuracy, or −loss
    where the data has none.
    """
    level = levels(runs, training)
    reached = reach_step(runs, training, level)
    diverged = runs["status"] == "diverged"
    dead = diverged | runs["stuck"].astype(bool)
    time = pd.Series(estimates.restricted(reached, runs["steps"], dead), runs.index)
    chance = pd.Series(np.exp(-runs["chance_loss"].to_numpy(float)), runs.index).fillna(0.0)
    finished = runs["final_train_loss"].where(runs["status"] == "ok")
    loss = finished.mask(diverged, _worst_loss(runs))
    trained = runs["train_accuracy"].where(runs["status"] == "ok")
    validation = runs["validation_accuracy"].mask(diverged & _measured(runs), chance)
    has_validation = _measured(runs, "validation_accuracy")
    return runs.assign(
        level=level,
        learned=learned_step(runs, training),
        dead=dead,
        reached=reached,
        time=time.where(level.notna()),
        loss=loss,
        accuracy=100 * runs["test_accuracy"].mask(diverged & _measured(runs), chance),
        train_percent=100 * trained.mask(diverged & _measured(runs, "train_accuracy"), chance),
        loss_share=loss / runs["chance_loss"],
        chance=100 * chance,
        score=validation.where(has_validation, -loss),
    )


def _measured(runs: pd.DataFrame, name: str = "test_accuracy") -> pd.Series:
    """Whether any run on the run's data has the number."""
    return runs[name].notna().groupby(runs["data"]).transform("any")


def _worst_loss(runs: pd.DataFrame) -> pd.Series:
    final = runs["final_train_loss"].where(runs["status"] == "ok")
    worst = pd.concat([runs["initial_loss"], final], axis=1).max(axis=1)
    return worst.groupby([runs[name] for name in BLOCK]).transform("max")


def tuned(runs: pd.DataFrame) -> pd.DataFrame:
    """One run per row and seed: at the learning rate with the best mean score of the *other* seeds.

    So no number is reported on the seed that chose it. With one seed there is no other: it chooses
    for itself, and ``choice`` says so. Ties go to the smaller rate. A seed that lacks a run at a
    rate cannot be given it.
    """
    chosen = [_by_other_seeds(group) for _, group in runs.groupby(ROW, sort=False)]
    return pd.concat(chosen).sort_index() if chosen else runs.assign(choice="")


def _by_other_seeds(group: pd.DataFrame) -> pd.DataFrame:
    """The chosen runs of one normalizer in one block."""
    scores = group.groupby(["seed", "lr"])["score"].mean().unstack()
    known, values = scores.notna().to_numpy(), scores.fillna(0.0).to_numpy()
    if only := scores.shape[1] == 1 or len(scores) == 1:
        means = np.where(known, values, -np.inf)
    else:
        others = known.sum(axis=0) - known
        means = (values.sum(axis=0) - values) / np.maximum(others, 1)
        means = np.where(known & (others > 0), means.round(12), -np.inf)  # equal means tie
    usable = np.isfinite(means).any(axis=1)
    best = np.where(usable, scores.columns.to_numpy()[means.argmax(axis=1)], np.nan)
    own = only and scores.shape[1] > 1
    choice = "chosen on the reported seed" if own else ""
    is_chosen = group["lr"].eq(group["seed"].map(pd.Series(best, scores.index)))
    return group[is_chosen].assign(choice=choice)


def shared(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs at their block's shared rate: the best mean over normalizers of their mean scores.

    Ties go to the smaller rate.
    """
    means = runs.groupby([*ROW, "lr"])["score"].mean().groupby([*BLOCK, "lr"]).mean().dropna()
    best = means[means == means.groupby(BLOCK).transform("max")].reset_index()
    rates = best.drop_duplicates(BLOCK)[[*BLOCK, "lr"]].rename(columns={"lr": "shared"})
    shared_lr = runs[BLOCK].merge(rates, how="left", on=BLOCK)["shared"].to_numpy()
    return runs[runs["lr"] == shared_lr].assign(choice="")


def better_of_two(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per row and seed: expected outcomes of the better scored of two random rates.

    With n rates sorted by score, best first, the i-th is the better of a random pair with
    probability 2(n−i)/(n(n−1)). Source: Dodge et al., *Show Your Work*, EMNLP 2019, without
    replacement.
    """

    def shares(scores: pd.Series) -> np.ndarray:
        n, rank = len(scores), scores.rank(ascending=False, method="first").to_numpy()
        return np.ones(1) if n == 1 else 2 * (n - rank) / (n * (n - 1))

    return _over_rates(runs, shares)


def averaged(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per row and seed: the mean outcomes over the learning rates."""
    return _over_rates(runs, lambda scores: np.full(len(scores), 1 / len(scores)))


def _over_rates(runs: pd.DataFrame, shares: Callable[[pd.Series], np.ndarray]) -> pd.DataFrame:
    """A row per row and seed: `shares`-weighted means of the outcomes over its rates."""
    ordered = runs.sort_values("lr", kind="stable")
    groups = ordered.groupby([*ROW, "seed"], sort=False)["score"]
    share = groups.transform(lambda scores: pd.Series(shares(scores), scores.index))
    weighted = ordered.assign(
        **{name: ordered[name] * share for name in ("time", "accuracy")}, choice=""
    )
    how = dict.fromkeys(weighted.columns.difference([*ROW, "seed"]), "first")
    how |= dict.fromkeys(("time", "accuracy"), _sum_or_nan)
    return weighted.groupby([*ROW, "seed"], sort=False).agg(how).reset_index()


def _sum_or_nan(values: pd.Series) -> float:
    """The sum; NaN where a part is not known."""
    return float(values.sum(skipna=False))


def stable_lr(group: pd.DataFrame) -> float:
    """The largest learning rate at which no run of a row is ``dead``; NaN if there is none."""
    dead = group["dead"].astype(bool).groupby(group["lr"]).any()
    return float(dead.index[~dead].max()) if not dead.all() else np.nan


def spread_over_lr(group: pd.DataFrame, name: str, rng: np.random.Generator) -> estimates.Estimate:
    """Largest minus smallest mean over a row's learning rates; needs two of them.

    Interval: bootstrap within learning rates. The statistic is biased upwards in resamples, so the
    interval is, too.
    """
    known = group[group[name].notna()].sort_values("lr", kind="stable")
    starts = np.flatnonzero(~known["lr"].duplicated())
    if len(starts) < 2:
        return estimates.Estimate(np.nan, np.nan, np.nan, len(known))
    values = known[name].to_numpy()
    draws = values[estimates.resample(known["lr"], rng)]
    counts = np.diff(starts, append=len(values))

    def spread(rows: np.ndarray) -> np.ndarray:
        return np.ptp(np.add.reduceat(rows, starts, axis=-1) / counts, axis=-1)

    factor, center = estimates.inflation(known["lr"]), spread(values)
    low, high = estimates.widened(center, spread(draws), factor)
    return estimates.Estimate(float(center), float(low), float(high), len(values))
