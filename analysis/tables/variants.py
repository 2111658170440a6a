"""Tables of probes' measures where the probes' options are swept: rows for each combination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from analysis.reductions import VIEWS, Variant, summaries
from analysis.study import label_order
from analysis.tables import columns
from analysis.tables.columns import Column
from analysis.tables.outcomes import ROW
from analysis.tables.tables import (
    ABOUT,
    PROBED,
    Table,
    TableInputs,
    caption,
    columns_of,
    reference_in,
)

KEY = "probes"
"""The column that names the options."""


def with_variants(basis: TableInputs, tables: Sequence[Table]) -> list[Table]:
    """The tables, those of swept probes with all their rows.

    Answers and figures are made from the tables as they were: of one reading per training.
    """
    return [_table(basis, table) if table.name in PROBED else table for table in tables]


def _table(basis: TableInputs, table: Table) -> Table:
    probes = dict.fromkeys(VIEWS[item.record].table for item in PROBED[table.name])
    found = basis.trainings.variants(probes)
    if not found:
        return table
    read = [_read(basis, table.name, variant) for variant in found]
    parts = [_cells(basis, *each) for each in zip(found, read, strict=True)]
    cells = pd.concat(parts, ignore_index=True)
    own = [key for key in table.keys if key != "normalizer"]
    measured = {column.measure.key: column.measure for each in read for column in each}
    about = ABOUT[table.name] + _describe_variants(basis)
    return replace(
        table,
        keys=[*own, KEY, "normalizer"],
        measures=list(measured.values()),
        cells=cells[[*own, KEY, "normalizer", "measure", *columns.CELL]],
        caption=caption(basis, about, cells, PROBED[table.name]),
    )


def _read(basis: TableInputs, name: str, variant: Variant) -> list[Column]:
    runs = basis.runs[basis.runs["cell_id"].isin(set(variant.cells))]
    probes = summaries.at_probes(variant.reduced, basis.runs)
    return columns_of(name, probes, runs, basis.training)


def _cells(basis: TableInputs, variant: Variant, filled: list[Column]) -> pd.DataFrame:
    rows = label_order.by_labels(variant.planned[ROW].drop_duplicates(), ROW)
    cells = columns.fill(filled, rows, reference_in(basis.rows), basis.seed)
    return cells.assign(**{KEY: variant.label})


def _describe_variants(basis: TableInputs) -> str:
    read = ", ".join(basis.trainings.read)
    return (
        "Each combination of swept probe options has rows of its own, over the same trainings, "
        f"each of which counts once; answers, the relations and figures read {read}."
    )
