"""What a report, or a notebook, knows of the sweeps that it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

LABELS = ["data", "architecture", "normalizer", "training", "probes", "lr", "seed"]
"""What names a cell to a reader, in the order of sorting (`analysis.study.labels`)."""

RECORDS = ("training", "gradient_ics", "moment_ics", "landscape")
"""Record tables that a study has, if empty ones, whatever its cells recorded."""


@dataclass(frozen=True)
class Study:
    """All that the report knows. Rows are ordered by label columns and step, never by file."""

    sweeps: list[str]
    planned: pd.DataFrame
    """A row per planned cell: sweep, cell_id, labels, status (ok, diverged, time_limit, failed,
    absent)."""
    runs: pd.DataFrame
    """A row per finished cell: cell_id, labels, status, diverged_step, stuck, optimizer,
    batch_size, the planned ``steps``, and the numbers of its summary (``steps`` there is
    ``steps_done`` here) and of its cost, flat. Not known: NaN."""
    records: dict[str, pd.DataFrame]
    """By record table: all rows, with cell_id and the labels; words are categories. A table that
    no cell has is an empty frame. ``lr`` is the label; the training table's own, which a schedule
    moves, is ``step_lr``. ``training`` has ``smooth_loss`` added (`reduce.smooth`). Empty where
    `load` was told to leave them."""
    problems: list[str]
    """One line per kind of damaged or inconsistent file; the cell of a damaged file counts as
    absent."""
    provenance: dict[str, Any]
    """Commits, versions, devices, locks and data digests seen, sorted."""
    settings: dict[str, list[str]] = field(default_factory=dict)
    """By dotted name: the values, as JSON, that finished cells have of a setting, sorted."""
    reduced: dict[str, pd.DataFrame] = field(default_factory=dict)
    """All that tables, answers and figures read of the records (`analysis.reductions.summaries`),
    with the labels."""
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By planned cell: its settings."""
    trainings: dict[str, str] = field(default_factory=dict)
    """By planned cell: its training's id, which cells that differ in probes alone share."""
    notes: list[str] = field(default_factory=list)
    """Which plan was read of each sweep that has several, and which others there are."""
