"""Tables 1–5: ICS, smoothness, training, relations, generalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from analysis import metrics
from analysis.metrics import Measure, Probed
from analysis.reductions import BLOCK, Trainings, is_weak, summaries
from analysis.study import Study, label_order
from analysis.tables import association_table, columns, definitions
from analysis.tables.associations import Relation, relations
from analysis.tables.columns import Column
from analysis.tables.contrasts import ALPHA
from analysis.tables.outcomes import ROW, outcomes

__all__ = [
    "Measure",
    "Table",
    "TableInputs",
    "build",
    "build_tables",
    "health",
    "totals",
    "varying_in",
]

_POOLED = "Runs at all learning rates of the grid, seeds paired across normalizers. "
_TUNED = (
    "Each run at the learning rate that did best, by mean validation accuracy (final training loss "
    "where there is none), on the other seeds of its row; divergence, stability, sensitivity and "
    "costs over all learning rates. Three other views on tuning beside it: one learning rate for "
    "all, the better of two random ones, the average over the grid. A diverged run is never left "
    "out: it counts with its planned steps, with accuracy at chance, and with the largest loss of "
    "its block. A run that its time limit cut counts with the steps it was planned for where it "
    "had not reached the target, and is missing elsewhere. Steps: plain mean over seeds, a run "
    "that never reached the target counting with its planned steps. "
)
_INTERVAL = (
    "Estimate: interquartile mean over runs, whose quarters may cut a run in parts. Interval: 95 "
    "%, stratified bootstrap, runs resampled within learning rates; half-widths times "
    "√(N/(N−S))·t/1.96 for N runs at S learning rates, t with N−S degrees of freedom. "
)
_TROUBLE = (
    "Columns marked as rescaling change when weights before a normalizer are scaled. A diverged "
    "run counts with what it recorded before. On the plateau, until the mean loss of the last 2 % "
    "of the steps (at least five) first falls to 0.95 of the loss at chance, any landscape looks "
    "smooth: readings there are left out. A phase with more than half of its probes on the "
    "plateau has no reading, and a stuck run, which ends there, has none at all."
)


_RELATED = (
    "Rank correlations oriented so that 1 means: what is smoother, or shifts less, does better. "
    "A stuck run has no reading: on a plateau any landscape looks smooth. A diverged run counts "
    "with its planned steps, and with accuracy at chance. n counts normalizers where they are "
    "ranked, runs elsewhere. Bold: none. "
    "Holm's correction: over the measures that Q8 asks of, for one outcome in one block; no other "
    "measure is called associated, for its p stands alone. η·β and η·λ_max order normalizers at "
    "one learning rate as β and λ_max do: the same comparison, not another. "
)
_MATCHED = (
    "Runs at all learning rates of the grid, where the smoothed training loss first reached the "
    "block's target: networks that fit the training data equally well. Sharpness at the last "
    "probe. "
)


STATUSES = ("ok", "diverged", "time_limit", "failed", "absent")
"""How a planned cell ended; ``time_limit``: it ran out of time; the last two are missing data."""


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
    extra: tuple[str, ...] = ()
    """Further columns of ``cells`` that the data files hold."""
    first_rows: frozenset[str] = frozenset()
    """Values of the last key that a reader sees first; empty: all."""


class TableInputs:
    """What tables, answers and figures are made from: runs with outcomes, and columns of them."""

    def __init__(self, study: Study, seed: int = 0) -> None:
        self.trainings = Trainings(study)
        self.study, self.seed = self.trainings.study, seed
        study = self.study
        self.training = study.reduced["records/training"]
        self.runs = outcomes(study.runs, self.training)
        self.rows = label_order.by_labels(study.planned[ROW].drop_duplicates(), ROW)
        self.probes = summaries.at_probes(study.reduced, self.runs)

    @cached_property
    def columns(self) -> dict[str, list[Column]]:
        """The columns of the tables that compare normalizers, by the table's name."""
        read = [columns_of(name, self.probes, self.runs, self.training) for name in PROBED]
        return {**dict(zip(PROBED, read, strict=True)), _TRAINED: definitions.trained(self.runs)}

    @cached_property
    def relations(self) -> list[Relation]:
        """Every measure that has a better side, against every outcome."""
        wanted = definitions.recorded(_RELATE, self.probes)
        return relations(wanted, self.probes, self.runs, self.training, self.seed)

    def missing(self, wanted: Sequence[Probed]) -> str:
        """What the study has no records for."""
        return definitions.missing(wanted, self.probes)


PROBED: dict[str, Sequence[Probed]] = {
    "table1_ics": metrics.ICS,
    "table2_smoothness": metrics.SMOOTHNESS,
    "table5_generalization": metrics.SHARPNESS,
}
"""The tables of probes' measures."""
_TRAINED = "table3_training"
_TITLES = {
    "table1_ics": "Internal covariate shift",
    "table2_smoothness": "Smoothness of the loss",
    "table5_generalization": "Generalization at matched training loss",
}
ABOUT = {
    "table1_ics": _POOLED + _INTERVAL + _TROUBLE,
    "table2_smoothness": _POOLED + _INTERVAL + _TROUBLE,
    "table5_generalization": _MATCHED + _INTERVAL,
}
"""What the cells of each of `PROBED` are."""


def columns_of(
    name: str, probes: dict[str, pd.DataFrame], runs: pd.DataFrame, training: pd.DataFrame
) -> list[Column]:
    """The columns of one of `PROBED`, over some runs."""
    matched = definitions.matched(runs, training) if name == "table5_generalization" else []
    return [*matched, *definitions.probed(PROBED[name], probes, runs)]


_RELATE = [
    item
    for item in [*metrics.SMOOTHNESS, *metrics.ICS]
    if item.when == "early" and item.measure.better and item.record != "landscape_update"
]
"""Along the update of plain gradient descent are the numbers along the gradient: one comparison."""


def build(study: Study, seed: int = 0) -> list[Table]:
    """Tables 1–5 of a study. Same study and seed, same numbers, to the last bit."""
    from analysis.tables.variants import with_variants

    basis = TableInputs(study, seed)
    return with_variants(basis, build_tables(basis))


def build_tables(basis: TableInputs) -> list[Table]:
    """Tables 1–5, of one reading per training; `variants.with_variants` adds the others."""
    one, two, five = (
        _table(basis, name, title, ABOUT[name], PROBED[name]) for name, title in _TITLES.items()
    )
    targets = _TUNED + _INTERVAL + _targets(basis.runs)
    three = _table(basis, _TRAINED, "Training", targets, [])
    return [one, two, three, _relation_table(basis), five]


def _relation_table(basis: TableInputs) -> Table:
    varying = varying_in(basis.rows)
    cells = association_table.cells(basis.relations, varying)
    nothing = "" if len(cells) else "No cell of these sweeps has what this table needs."
    return Table(
        name="table4_relations",
        title="Measures against speed and generalization",
        caption=" ".join(
            part for part in (_RELATED.strip(), nothing, basis.missing(_RELATE)) if part
        ),
        keys=[*varying, "quantity"],
        measures=list(association_table.MEASURES) if len(cells) else [],
        cells=cells,
        first_rows=association_table.headline_rows(basis.relations),
    )


def health(study: Study) -> pd.DataFrame:
    """Per sweep × architecture × normalizer: planned = the sum of `STATUSES`; and stuck."""
    keys = ["sweep", "architecture", "normalizer"]
    counted = _counted(study, study.planned)[[*keys, "planned", *STATUSES, "stuck"]]
    return label_order.by_labels(counted.groupby(keys).sum().reset_index(), keys)


def totals(study: Study) -> dict[str, int]:
    """The same over all sweeps, a cell of several of them counted once."""
    counted = _counted(study, study.planned.drop_duplicates("cell_id"))
    return {name: int(counted[name].sum()) for name in ("planned", *STATUSES, "stuck")}


def _counted(study: Study, planned: pd.DataFrame) -> pd.DataFrame:
    """Planned cells, with a 1 where a count counts them."""
    stuck = study.runs.set_index("cell_id")["stuck"]
    ended = {name: (planned["status"] == name).astype(int) for name in STATUSES}
    is_stuck = planned["cell_id"].isin(stuck.index[stuck]).astype(int)
    return planned.assign(planned=1, **ended, stuck=is_stuck)


def reference_in(rows: pd.DataFrame) -> str:
    """The normalizer that others are compared with: batch, or the first."""
    names = list(rows["normalizer"].unique())
    return "batch" if "batch" in names else next(iter(label_order.names(names)), "")


def caption(basis: TableInputs, about: str, cells: pd.DataFrame, wanted: Sequence[Probed]) -> str:
    """What a table's cells are, what bold means, over how many runs, and what is missing."""
    reference = reference_in(basis.rows)
    notes = [about.strip(), _describe_bold(cells, reference), _describe_n(cells)]
    return " ".join(part for part in [*notes, basis.missing(wanted)] if part)


def _table(
    basis: TableInputs, name: str, title: str, about: str, wanted: Sequence[Probed]
) -> Table:
    filled, rows = basis.columns[name], basis.rows
    cells = columns.fill(filled, rows, reference_in(rows), basis.seed)
    varying = varying_in(rows)
    return Table(
        name=name,
        title=title,
        caption=caption(basis, about, cells, wanted),
        keys=[*varying, "normalizer"],
        measures=[column.measure for column in filled],
        cells=cells.drop(columns=[key for key in BLOCK if key not in varying]),
    )


def varying_in(rows: pd.DataFrame) -> list[str]:
    """What names a block: its architecture, and its data and training where there are several."""
    return [key for key in BLOCK if key == "architecture" or rows[key].nunique() > 1]


def _describe_bold(cells: pd.DataFrame, reference: str) -> str:
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


def _describe_n(cells: pd.DataFrame) -> str:
    n = cells.loc[cells["n"] > 0, "n"]
    return f"Runs a cell: {n.min()} to {n.max()}." if len(n) else ""


def _targets(runs: pd.DataFrame) -> str:
    """The training loss that each block's runs are to reach."""
    keys = varying_in(runs)
    known = runs.dropna(subset="level").drop_duplicates(BLOCK)
    targets = [
        f"{' '.join(row[key] for key in keys if row[key])}: {row['level']:.3g}"
        f"{', above half the loss at chance' if weak else ''}"
        for row, weak in zip(known.to_dict("records"), is_weak(known), strict=True)
    ]
    if not targets:
        return "No target loss: no run trained."
    return (
        "Target: the smallest smoothed training loss that 80 % of a block's runs reach, diverged "
        "and stuck ones not counted, or half the loss at chance where that is lower and some run "
        f"reaches it ({', '.join(targets)})."
    )
