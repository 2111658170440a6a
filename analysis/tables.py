"""Tables 1–3: ICS, smoothness, training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import columns, contents, measures, order, reduce
from analysis.columns import Column
from analysis.contrasts import ALPHA
from analysis.load import Study
from analysis.measures import Measure
from analysis.outcomes import ROW, outcomes
from analysis.reduce import BLOCK

__all__ = ["Measure", "Table", "build", "health"]

_POOLED = "Runs at all learning rates of the grid, seeds paired across normalizers. "
_TUNED = (
    "Each run at the learning rate that did best, by mean validation accuracy (final training loss "
    "where there is none), on the other seeds of its row; divergence, stability, sensitivity and "
    "costs over all learning rates. A diverged run is last in every outcome, and never left out. "
    "Steps: restricted mean. "
)
_INTERVAL = (
    "Estimate: interquartile mean over runs. Interval: 95 %, stratified bootstrap, runs resampled "
    "within learning rates, widened for few seeds. "
)
_TROUBLE = (
    "Columns marked as rescaling change when weights before a normalizer are scaled. A diverged "
    "run counts with what it recorded before; a stuck run never left its initial loss, where any "
    "landscape looks smooth."
)


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
    runs = outcomes(study.runs, study.records["training"])
    rows = order.by_labels(study.planned[ROW].drop_duplicates(), ROW)
    probes = reduce.at_probes(study.records, runs)
    ics = contents.probed(measures.ICS, probes, runs)
    smoothness = contents.probed(measures.SMOOTHNESS, probes, runs)
    training = contents.trained(runs)
    pooled, targets = _POOLED + _INTERVAL + _TROUBLE, _TUNED + _INTERVAL + _targets(runs)
    return [
        _table("table1_ics", "Internal covariate shift", pooled, ics, rows, seed),
        _table("table2_smoothness", "Smoothness of the loss", pooled, smoothness, rows, seed),
        _table("table3_training", "Training", targets, training, rows, seed),
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


def _table(
    name: str, title: str, caption: str, filled: Sequence[Column], rows: pd.DataFrame, seed: int
) -> Table:
    names = list(rows["normalizer"].unique())
    reference = "batch" if "batch" in names else next(iter(order.names(names)), "")
    cells = columns.fill(filled, rows, reference, seed)
    varying = _varying(rows)
    return Table(
        name=name,
        title=title,
        caption=" ".join([caption, _said_of_bold(cells, reference), _said_of_n(cells)]),
        keys=[*varying, "normalizer"],
        measures=[column.measure for column in filled],
        cells=cells.drop(columns=[key for key in BLOCK if key not in varying]),
    )


def _varying(rows: pd.DataFrame) -> list[str]:
    """What names a block: its architecture, and its data and training where there are several."""
    return [key for key in BLOCK if key == "architecture" or rows[key].nunique() > 1]


def _said_of_bold(cells: pd.DataFrame, reference: str) -> str:
    if cells.empty:
        return "No cell of these sweeps has what this table needs."
    bold = (
        f"Bold: the best of a block (same data, architecture and training) and all that a paired "
        f"sign-flip test against it does not reject at {ALPHA:.0%} after Holm."
    )
    few = (
        "Bold: the best estimate of a block alone, for no test could reject anything with so few "
        "pairs of runs."
    )
    mixed = " Columns with too few pairs of runs for any test to reject: the best estimate alone."
    tested = cells.loc[cells["measure"].isin(cells.loc[cells["tested"], "measure"])]
    if tested.empty:
        return few
    return bold + (mixed if len(tested) < len(cells) else "")


def _said_of_n(cells: pd.DataFrame) -> str:
    n = cells.loc[cells["n"] > 0, "n"]
    return f"Runs a cell: {n.min()} to {n.max()}." if len(n) else ""


def _targets(runs: pd.DataFrame) -> str:
    """The training loss that each block's runs are to reach."""
    keys = _varying(runs)
    known = runs.dropna(subset="level").drop_duplicates(BLOCK)
    targets = [
        f"{' '.join(row[key] for key in keys if row[key])}: {row['level']:.3g}"
        for row in known.to_dict("records")
    ]
    if not targets:
        return "No target loss: no run trained."
    return (
        "Target: the smallest smoothed training loss that 80 % of a block's runs reach, diverged "
        f"and stuck ones not counted ({', '.join(targets)})."
    )
