"""What changed between two sweeps, measure by measure, for every row that both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import metrics
from analysis.comparison.change import Change, change
from analysis.comparison.merge import SIDES, alike, joined, marked
from analysis.comparison.sentences import changed, lead, verdicts
from analysis.metrics import Measure
from analysis.reductions import BLOCK, Trainings
from analysis.statistics import estimates
from analysis.study import Study, label_order
from analysis.tables import ALPHA, ROW, Column, Table, TableInputs, definitions, varying_in
from analysis.text import Claim, Sentence
from pipeline.seeds import derive

PROBED = (
    "gradient_ics_relative_early",
    "gradient_ics_cosine_early",
    "moment_ics_mean_shift_early",
    "distribution_ics_w1_early",
    "landscape_loss_range_relative_early",
    "landscape_gradient_difference_relative_early",
    "landscape_scaled_beta_early",
    "curvature_lambda_max_early",
)
TRAINED = (
    metrics.STEPS.key,
    metrics.FINAL_LOSS.key,
    metrics.ACCURACY.key,
    metrics.DIVERGED.key,
)
_CAPTION = (
    "This report's runs over (ratio) or minus (difference) those of {other}, for the rows that "
    "both have. Targets, and what a diverged run counts as, are those of both sweeps together; "
    "each sweep is judged at its own tuned learning rate. Paired where both have two or more of "
    "the same cells (labels alike): interquartile mean of the pairs, stratified bootstrap "
    "interval, sign-flip test. Else unpaired, over the learning rates of both: difference of the "
    "interquartile means, stratified bootstrap interval, permutation test. Rates: difference, "
    "Newcombe's interval, Fisher's exact test. Intervals: 95 %. Bold: "
    "different at 5 % after Holm over the rows of a column."
)


@dataclass(frozen=True, kw_only=True)
class Against:
    """A section of the report."""

    title: str
    sentences: list[Sentence]
    claims: list[Claim]
    """The changes that are significant."""
    settings: list[tuple[str, str, str]]
    """What was set or ran differently: name, here, there."""
    table: Table
    other: Study


def against(here: Study, there: Study, seed: int = 0) -> Against:
    """Compare a study with another. Same studies and seed, same numbers.

    Labels distinguish cells. They name what varies within a sweep; so the same label may stand for
    different settings in the two, and those are listed.
    """
    wanted = [m for m in (*metrics.ICS, *metrics.SMOOTHNESS) if m.measure.key in PROBED]
    same = len(set(here.runs["cell_id"]) & set(there.runs["cell_id"]))
    here, there = alike(Trainings(here).study, Trainings(there).study)
    basis = TableInputs(joined(here, there), seed)
    rows, alone = _rows(here, there)
    columns = [
        *definitions.probed(wanted, basis.probes, basis.runs),
        *(c for c in definitions.trained(basis.runs) if c.measure.key in TRAINED),
    ]
    cells = pd.DataFrame(_cells(columns, rows, seed), columns=[*ROW, "measure", *_PARTS])
    other = ", ".join(there.sweeps)
    keys = [*varying_in(rows), "normalizer"]
    shown = [_measure(column.measure) for column in columns] if len(rows) else []
    table = Table(
        name="against",
        title=f"Against {other}",
        caption=_CAPTION.format(other=other),
        keys=keys,
        measures=shown,
        cells=cells.drop(columns=[name for name in ROW if name not in keys]),
        extra=("p", "p_holm"),
    )
    return Against(
        title=table.title,
        sentences=lead(here, there, cells, alone, same),
        claims=verdicts(cells, shown, keys, other),
        settings=changed(here, there),
        table=table,
        other=there,
    )


_PARTS = ["estimate", "low", "high", "n", "best", "note", "p", "p_holm", "testable"]


def _rows(here: Study, there: Study) -> tuple[pd.DataFrame, int]:
    """The rows with finished runs on both sides, in order; and how many are on one side alone."""
    one, two = (study.runs[ROW].astype(str).drop_duplicates() for study in (here, there))
    both = one.merge(two, on=ROW)
    return label_order.by_labels(both, ROW), len(one) + len(two) - 2 * len(both)


def _cells(columns: list[Column], rows: pd.DataFrame, seed: int) -> Iterator[dict[Any, Any]]:
    named = rows.to_dict("records")
    for column in columns:
        places = column.runs.groupby(ROW).indices
        found = [_change(column, places, row, seed) for row in named]
        adjusted = estimates.holm([item.p for item in found])
        for row, item, p_holm in zip(named, found, adjusted, strict=True):
            yield {
                **row,
                "measure": column.measure.key,
                **item._asdict(),
                "best": bool(p_holm <= ALPHA),
                "p_holm": float(p_holm),
                "note": _note(item, float(p_holm)),
            }


def _change(column: Column, places: Mapping[Any, Any], row: dict[Any, Any], seed: int) -> Change:
    """The change of a row, given where the runs of each row are."""
    block, name = tuple(row[key] for key in BLOCK), row["normalizer"]
    here, there = (column.runs.iloc[places.get((*block, marked(name, side)), [])] for side in SIDES)
    rng = np.random.default_rng(derive(seed, "against", column.measure.key, *block, name))
    return change(column, here, there, rng)


def _note(item: Change, p_holm: float) -> str:
    if np.isnan(item.estimate):
        return item.basis
    if not item.testable:
        return f"{item.basis}; too few for any test"
    return f"{item.basis}; p {item.p:.2g}, after Holm {p_holm:.2g}"


def _measure(measure: Measure) -> Measure:
    """How its change is printed."""
    ratio = measure.contrast == "ratio" and measure.key != metrics.DIVERGED.key
    unit = "points" if measure.unit == "%" else measure.unit
    return replace(
        measure,
        title=f"{measure.title}: {'ratio' if ratio else 'difference'}",
        unit="" if ratio else unit,
    )
