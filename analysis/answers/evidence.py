"""What answers are made from: the tables' cells, contrasts of any two normalizers, and troubles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis import metrics
from analysis.answers.absent import no_records
from analysis.reductions import BLOCK, VIEWS
from analysis.statistics import Estimate
from analysis.study import label_order
from analysis.tables import (
    NO_CONTRAST,
    Column,
    Contrast,
    Measure,
    Table,
    TableInputs,
    contrasts,
    varying_in,
)
from analysis.text import Label, Number, Part, Sentence, count, triple
from pipeline.seeds import derive


@dataclass(frozen=True)
class Block:
    """What is compared within: one data, training and architecture; its runs, and its name."""

    name: str
    labels: Mapping[str, str]
    runs: pd.DataFrame

    @property
    def place(self) -> tuple[str, ...]:
        """Its labels, in the order of `BLOCK`."""
        return tuple(self.labels[label] for label in BLOCK)

    def runs_of(self, normalizer: str) -> pd.DataFrame:
        """The block's runs of one normalizer."""
        return self._by_normalizer.get(normalizer, self.runs.iloc[:0])

    @cached_property
    def _by_normalizer(self) -> dict[str, pd.DataFrame]:
        return {str(name): own for name, own in self.runs.groupby("normalizer", sort=False)}


class Evidence:
    """The tables and what they were made from, by measure, block and normalizer."""

    def __init__(self, basis: TableInputs, tables: Sequence[Table]) -> None:
        self.basis, self.tables = basis, tables
        self.columns: dict[str, tuple[str, Column]] = {
            column.measure.key: (name, column)
            for name, columns in basis.columns.items()
            for column in columns
        }
        self._wide: dict[tuple[str, str], pd.DataFrame] = {}
        self._indices: dict[int, dict[Any, Any]] = {}

    @cached_property
    def blocks(self) -> list[Block]:
        """Every block that has a finished run, in reading order."""
        runs, varying = self.basis.runs, varying_in(self.basis.rows)
        found = label_order.by_labels(runs[BLOCK].drop_duplicates(), BLOCK)
        blocks = []
        for labels in found.to_dict("records"):
            own = runs[(runs[BLOCK] == pd.Series(labels)[BLOCK]).all(axis=1)]
            name = " · ".join(str(labels[key]) for key in varying if str(labels[key]))
            blocks.append(Block(name, {str(k): str(v) for k, v in labels.items()}, own))
        return blocks

    def label(self, name: str) -> str | None:
        """The study's label of a part: its name, or its name with options, the first of several."""
        labels = label_order.names(self.basis.runs["normalizer"].astype(str))
        fitting = [label for label in labels if label == name or label.startswith(f"{name}(")]
        return fitting[0] if fitting else None

    def measure(self, key: str) -> Measure | None:
        """A measure of the tables, if some run has it."""
        return self.columns[key][1].measure if key in self.columns else None

    def has_values(self, key: str) -> bool:
        """Whether a measure of the tables has a value in some run."""
        column = self.columns[key][1]
        return bool(column.runs[column.value].notna().any())

    def why_not(self, key: str) -> str:
        """What is wanting where `measure` finds none, or no run has a value."""
        if key in self.columns:
            return f"{self.columns[key][1].measure.title}: no run has a reading off the plateau"
        probed = [*metrics.ICS, *metrics.SMOOTHNESS, *metrics.SHARPNESS]
        of = next((item for item in probed if item.measure.key == key), None)
        if of is None:
            return "no finished run has the outcome"
        return no_records(of.measure.title, VIEWS[of.record])

    def table_of(self, key: str) -> str:
        """The table with a measure; empty if none has it."""
        return self.columns[key][0] if key in self.columns else ""

    def cell(self, key: str, block: Block, normalizer: str) -> Estimate:
        """Estimate and interval as the table has them."""
        unknown = Estimate(math.nan, math.nan, math.nan, 0)
        return self._cells.get((key, block.name, normalizer), unknown)

    @cached_property
    def _cells(self) -> dict[tuple[str, str, str], Estimate]:
        found = {}
        for table in self.tables:
            if "normalizer" not in table.keys:
                continue
            blocks = [key for key in table.keys if key != "normalizer"]
            for row in table.cells.to_dict("records"):
                name = " · ".join(str(row[key]) for key in blocks if str(row[key]))
                numbers = [float(row[part]) for part in ("estimate", "low", "high")]
                where = (str(row["measure"]), name, str(row["normalizer"]))
                found[where] = Estimate(numbers[0], numbers[1], numbers[2], int(row["n"]))
        return found

    def contrast(self, key: str, block: Block, subject: str, reference: str) -> Contrast:
        """Subject against reference, on the pairs of runs of the block."""
        column = self.columns[key][1]
        if not column.pair or not {subject, reference} <= set(self._paired(key, block)):
            return NO_CONTRAST
        wide = self._paired(key, block)[[subject, reference]]
        rng = self.generator(key, block, subject, reference)
        return contrasts.against(wide, reference, column.measure, rng).get(subject, NO_CONTRAST)

    def generator(self, key: str, block: Block, *words: str) -> np.random.Generator:
        """A generator of one comparison's own: no other comparison moves it."""
        return np.random.default_rng(derive(self.basis.seed, "answers", key, block.name, *words))

    def differences(
        self, key: str, block: Block, subject: str, reference: str
    ) -> dict[float, np.ndarray]:
        """By learning rate of the block, the paired differences (of logarithms, for a ratio)."""
        measure, rates = self.columns[key][1].measure, sorted(set(block.runs["lr"]))
        wide = self._paired(key, block)
        d, lr = contrasts.differences(wide, subject, reference, measure)
        return {float(rate): d[np.asarray(lr) == rate] for rate in rates}

    def runs_behind(self, key: str, block: Block, names: Sequence[str]) -> frozenset[str]:
        """The runs that a comparison of some normalizers rests on."""
        rows = self._rows(key, block)
        rows = rows[rows["normalizer"].isin(list(names))]
        return frozenset(rows["cell_id"].astype(str)) if "cell_id" in rows else frozenset()

    def _paired(self, key: str, block: Block) -> pd.DataFrame:
        """`contrasts.paired` of all normalizers of a block: many comparisons ask for it."""
        if (key, block.name) not in self._wide:
            column = self.columns[key][1]
            rows = self._rows(key, block)
            self._wide[key, block.name] = contrasts.paired(rows, column.value, column.pair)
        return self._wide[key, block.name]

    def _rows(self, key: str, block: Block) -> pd.DataFrame:
        """The runs of a block, with what pairs them and the measure's value."""
        column = self.columns[key][1]
        wanted = dict.fromkeys(["cell_id", "normalizer", *column.pair, column.value])
        rows = column.runs[[name for name in wanted if name in column.runs]]
        return rows.iloc[self._places(column.runs).get(block.place, [])]

    def _places(self, runs: pd.DataFrame) -> dict[Any, Any]:
        """Positions of the runs of each block; most measures share one frame of runs."""
        if id(runs) not in self._indices:
            self._indices[id(runs)] = runs.groupby(BLOCK).indices
        return self._indices[id(runs)]


def estimate(key: str, values: Sequence[float], digits: int) -> Sentence:
    """``0.123 [0.110, 0.140]``, each of them a number with its key."""
    texts = triple(values[0], values[1], values[2], digits)
    center, low, high = (
        Number(f"{key}/{part}", float(value), text)
        for part, value, text in zip(("estimate", "low", "high"), values, texts, strict=True)
    )
    if not (math.isfinite(low.value) and math.isfinite(high.value)):
        return (center,)
    return (center, " [", low, ", ", high, "]")


def effect_of(key: str, values: Sequence[float], measure: Measure) -> Sentence:
    """A comparison's effect; a difference has its unit: ``-2.4 [-3.1, -1.7] points``."""
    unit = measure.effect_unit if measure.contrast == "difference" else ""
    number = estimate(key, values, measure.digits)
    return (*number, f" {unit}") if unit and math.isfinite(values[0]) else number


def troubles(key: str, runs: Mapping[str, pd.DataFrame]) -> Iterator[Part]:
    """How many runs of each normalizer diverged or stayed at the loss at chance, if any did."""
    for name, own in runs.items():
        counts: dict[str, Any] = {
            "diverged": (own["status"] == "diverged").sum(),
            "stuck": own["stuck"].astype(bool).sum(),
        }
        for what, number in counts.items():
            if number:
                yield "; "
                yield count(f"{key}/{name}/{what}", int(number))
                yield " of "
                yield count(f"{key}/{name}/runs", len(own))
                yield " runs of "
                yield Label(name)
                yield f" {what}"
