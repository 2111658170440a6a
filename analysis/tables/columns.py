"""How a column of a table is filled: which runs, which estimate, what is said beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.metrics import Measure
from analysis.reductions import BLOCK
from analysis.statistics import Estimate, estimates
from analysis.tables import contrasts
from analysis.tables.contrasts import NO_CONTRAST, Contrast
from analysis.tables.outcomes import ROW, spread_over_lr, stable_lr
from pipeline.seeds import derive

FACTS = {
    "lr": "learning rate that most seeds of the cell were judged at (the larger of equals)",
    "lr_seeds": "seeds that were judged at that learning rate",
    "reached": "runs of the n that reached the block's target loss",
}
"""What the data files have of a cell besides its estimate, where it applies."""
CELL = ["estimate", "low", "high", "n", "best", "tested", "note", "reference", *Contrast._fields]
CELL += FACTS

_ABOUT_RUNS = [*ROW, "lr", "seed", "status", "stuck", "steps", "diverged", "dead"]
_ABOUT_RUNS += ["reached", "choice"]

Estimator = Callable[[pd.DataFrame, "Column", np.random.Generator], Estimate]
Note = Callable[[pd.DataFrame], list[str]]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A measure, and how its cells are made of runs."""

    measure: Measure
    value: str
    """The column of ``runs`` that is measured."""
    runs: pd.DataFrame
    """The runs that count: all, or each seed's at a chosen learning rate."""
    estimator: Estimator
    pair: tuple[str, ...] = ("lr", "seed")
    """What pairs the runs of two normalizers within a block; empty: nothing does. Without "lr" the
    runs of a row are one stratum."""
    relative: bool = False
    """Show the effect against the reference normalizer instead of the estimate."""
    absent: str = ""
    """Why no run of a row may have a value."""
    note: Note
    """What to say beside a cell, given its runs (of their columns, `_ABOUT_RUNS`)."""
    chosen: bool = False
    """Whether each seed counts at a learning rate that was chosen."""
    counts_reached: bool = False
    """Whether the measure is about reaching the target."""


def interquartile(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """Interquartile mean over runs, resampled within learning rates."""
    return _interval(rows, column, rng, estimates.iqm_weights)


def final(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """Interquartile mean; where a run diverged the median, for which its value is infinite.

    So a diverged run is last and is not left out, yet no made-up number is averaged. The estimate
    is infinite where half or more of the runs diverged, and has no interval then.
    """
    lost = rows["status"] == "diverged"
    if not lost.any():
        return interquartile(rows, column, rng)
    ranked = rows.assign(**{column.value: rows[column.value].mask(lost, _LAST)})
    found = _interval(ranked, column, rng, estimates.median_weights)
    center, low, high = (np.inf if number > _BEYOND else number for number in found[:3])
    if np.isinf(center):
        return Estimate(np.inf, np.nan, np.nan, found.n)
    return Estimate(center, low, high, found.n)


_LAST, _BEYOND = 1e300, 1e200
"""In place of infinity, so that a bootstrap can interpolate; and what no finite loss exceeds."""


def restricted_mean(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """Arithmetic mean over runs of restricted times, the restricted mean: at most the horizon."""
    cell = _interval(rows, column, rng, estimates.mean_weights)
    return cell._replace(high=float(np.minimum(cell.high, rows["steps"].max())))


def rate(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """Per cent of runs for which the value is true."""
    share = estimates.wilson(int(rows[column.value].sum()), len(rows))
    return Estimate(100 * share.estimate, 100 * share.low, 100 * share.high, share.n)


def largest_stable(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """The largest learning rate without a dead run; it has no interval."""
    return Estimate(stable_lr(rows), np.nan, np.nan, len(rows))


def spread(rows: pd.DataFrame, column: Column, rng: np.random.Generator) -> Estimate:
    """Largest minus smallest mean over learning rates."""
    return spread_over_lr(rows, column.value, rng)


def fill(
    columns: Sequence[Column], planned: pd.DataFrame, reference: str, seed: int
) -> pd.DataFrame:
    """The cells of a table, a row each (`Table.cells`).

    Args:
        planned: the rows of the table, in order: data, training, architecture, normalizer.
        reference: the normalizer that the others are compared with.
    """
    cells = []
    blocks = {block: list(rows["normalizer"]) for block, rows in planned.groupby(BLOCK, sort=False)}
    for column in columns:
        own_runs = _used_columns(column)
        places = own_runs.groupby(BLOCK).indices
        for block, names in blocks.items():
            runs = own_runs.iloc[places.get(block, [])]
            filled = _block(column, block, runs, names, reference, seed)
            where = {**dict(zip(BLOCK, block, strict=True)), "measure": column.measure.key}
            cells += [{**where, "normalizer": name, **cell} for name, cell in filled.items()]
    return pd.DataFrame(cells, columns=[*ROW, "measure", *CELL])


def _used_columns(column: Column) -> pd.DataFrame:
    """The columns of the runs that the measure, its estimator and its notes use."""
    wanted = dict.fromkeys([*_ABOUT_RUNS, column.value])
    return column.runs[[name for name in wanted if name in column.runs]]


def _block(
    column: Column,
    block: tuple[Any, ...],
    runs: pd.DataFrame,
    normalizers: list[str],
    reference: str,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """The cells of one measure in the one block within which normalizers are compared."""
    words = (column.measure.key, *block)
    places = runs.groupby("normalizer").indices
    own = {name: runs.iloc[places.get(name, [])] for name in normalizers}
    wide = contrasts.paired(runs, column.value, column.pair) if column.pair else pd.DataFrame()
    rng = _rng(seed, "tests", *words)
    effects = contrasts.against(wide, reference, column.measure, rng)
    if column.relative:
        found = {
            name: _as_estimate(effects.get(name, NO_CONTRAST), len(rows), name == reference)
            for name, rows in own.items()
        }
    else:
        found = {
            name: column.estimator(rows, column, _rng(seed, *words, name))
            for name, rows in own.items()
        }
    winners, tested = contrasts.best(_centers(found), wide, column.measure, rng)
    return {
        name: {
            **_bounded(found[name], column.measure),
            **{"best": name in winners, "tested": tested, "reference": reference},
            "note": _note(column, own[name], found[name]),
            **_facts(column, own[name]),
            **effects.get(name, NO_CONTRAST)._asdict(),
        }
        for name in normalizers
    }


def _facts(column: Column, runs: pd.DataFrame) -> dict[str, float]:
    """`FACTS` of a cell; NaN where they do not apply."""
    found = dict.fromkeys(FACTS, np.nan)
    if column.chosen and len(runs):
        counts = runs["lr"].astype(float).value_counts()
        rate = max(counts.index[counts == counts.max()])
        found |= {"lr": float(rate), "lr_seeds": float(counts[rate])}
    if column.counts_reached and len(runs):
        found["reached"] = float(has_reached(runs).sum())
    return found


def has_reached(runs: pd.DataFrame) -> pd.Series:
    """Whether a run is whole, not stuck, and reached the block's target."""
    return runs["reached"].notna() & (runs["status"] == "ok") & ~runs["stuck"].astype(bool)


def _rng(seed: int, *words: str) -> np.random.Generator:
    """A generator of a cell's own: its interval depends on no other cell."""
    return np.random.default_rng(derive(seed, *words))


def _interval(
    rows: pd.DataFrame, column: Column, rng: np.random.Generator, weights: estimates.Weights
) -> Estimate:
    values = rows[column.value].to_numpy(float)
    strata = rows["lr"].to_numpy() if "lr" in column.pair else np.zeros(len(rows))
    known = np.isfinite(values)
    return estimates.interval(values[known], strata[known], rng, weights)


def _as_estimate(effect: Contrast, runs: int, is_reference: bool) -> Estimate:
    if is_reference and runs:
        return Estimate(1.0, np.nan, np.nan, runs)
    return Estimate(effect.effect, effect.effect_low, effect.effect_high, effect.pairs)


def _centers(found: dict[str, Estimate]) -> pd.Series:
    return pd.Series({name: cell.estimate for name, cell in found.items()}, dtype=float)


def _bounded(cell: Estimate, measure: Measure) -> dict[str, Any]:
    low, high = np.clip([cell.low, cell.high], measure.least, measure.most).tolist()
    return {**cell._asdict(), "low": low, "high": high}


def _note(column: Column, runs: pd.DataFrame, cell: Estimate) -> str:
    """What a reader must know of a cell, in few words."""
    if runs.empty:
        return "not estimable: no finished run"
    notes = column.note(runs)
    if 0 < cell.n < len(runs) and not column.relative:
        notes = [*notes, f"known of {cell.n}/{len(runs)} runs"]
    if np.isnan(cell.estimate):
        notes = [f"not estimable: {column.absent}".removesuffix(": "), *notes]
    elif np.isnan(cell.low) and _has_interval(column, cell):
        notes = [*notes, _why_no_interval(column, runs, cell)]
    return "; ".join(note for note in notes if note)


def _has_interval(column: Column, cell: Estimate) -> bool:
    """Whether more runs would have given one."""
    return bool(np.isfinite(cell.estimate)) and column.estimator is not largest_stable


def _why_no_interval(column: Column, runs: pd.DataFrame, cell: Estimate) -> str:
    if column.relative:
        return (
            "" if cell.estimate == 1 else f"no interval: {cell.n} pair{'s' if cell.n > 1 else ''}"
        )
    seeds = runs["seed"].nunique()
    return "no interval: 1 seed" if seeds == 1 else "no interval: 1 run a learning rate"
