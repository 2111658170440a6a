"""Tables 1–3: ICS, smoothness, training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from analysis import columns, order, reduce
from analysis.columns import Column
from analysis.load import Study
from analysis.measures import ICS, SMOOTHNESS, Measure, Probed
from analysis.outcomes import ROW, outcomes
from analysis.stats import RESAMPLES

__all__ = ["Measure", "Table", "build", "health"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, tidy: its renderers lay it out."""

    name: str
    title: str
    caption: str
    """What estimate and interval are, over how many runs, and what bold means here."""
    keys: list[str]
    """Columns of ``cells`` that name a row; those that vary in no cell are left out."""
    measures: list[Measure]
    cells: pd.DataFrame
    """A row per cell of the table: keys, measure, estimate, low, high, n (runs), best, tested (a
    test had a say in ``best``), note; and against the reference normalizer, on pairs: reference,
    effect, effect_low, effect_high, pairs, p, p_holm (over the normalizers of the block)."""


def build(study: Study, seed: int = 0) -> list[Table]:
    """Tables 1–3 of a study. Same study and seed, same numbers, to the last bit."""
    training = study.records["training"]
    runs = outcomes(study.runs, training)
    found = reduce.at_probes(study.records, runs)
    return [
        _probed(study, runs, found, ICS, "table1_ics", "Internal covariate shift", seed),
        _probed(study, runs, found, SMOOTHNESS, "table2_smoothness", "Smoothness", seed),
        _training(study, runs, seed),
    ]


def health(study: Study) -> pd.DataFrame:
    """Per sweep × architecture × normalizer: planned = ok + diverged + failed + absent; stuck."""
    keys = ["sweep", "architecture", "normalizer"]
    stuck = study.runs.set_index("cell_id")["stuck"]
    status = study.planned["status"]
    counted = study.planned[keys].assign(
        planned=1,
        **{name: (status == name).astype(int) for name in ("ok", "diverged", "failed", "absent")},
        stuck=study.planned["cell_id"].isin(stuck.index[stuck]).astype(int),
    )
    return order.by_labels(counted.groupby(keys).sum().reset_index(), keys)
