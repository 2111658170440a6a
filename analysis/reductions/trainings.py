"""Cells that differ in their probes alone are one training, which counts once.

Probes never change the training that they observe, so that such cells have the same curve, bit for
bit (`analysis.load.integrity` checks it). A study of cells becomes one of trainings
(`Trainings.study`): one row per training, and one reading per probe. Where options of a probe are
swept, each block has the reading with the options of most of its trainings; trainings that were
probed otherwise have no reading there. Beside that, tables of probes have rows for each combination
of swept options (`Trainings.variants`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.reductions.curve_specs import CURVES
from analysis.reductions.over_steps import BLOCK
from analysis.reductions.record_views import VIEWS
from analysis.study import LABELS, Study, concat, label_order, swept_options, variant_label

_CURVES = {curve.name: curve.table for curve in CURVES}
_ENDINGS = ("ok", "diverged", "time_limit")
"""Of cells that are one training the first of these counts: a time limit may cut one of them."""


@dataclass(frozen=True)
class Variant:
    """Trainings probed with one combination of swept options.

    Attributes:
        label: the options, ``landscape.lengths=4``; empty where none of them is swept.
        planned: of its planned cells, labels. cells: of its finished trainings, their ids.
        reduced: the reductions, as those of a study of trainings.
    """

    label: str
    planned: pd.DataFrame
    cells: list[str]
    reduced: dict[str, pd.DataFrame]


class Trainings:
    """A study's trainings."""

    def __init__(self, cells: Study) -> None:
        self._whole = cells
        self._swept = swept_options(each["probes"] for each in cells.cells.values())

    @cached_property
    def study(self) -> Study:
        """A row per training, with one reading of each probe; the study itself if that is so."""
        if not self._swept:
            return self._whole
        sources = {probe: self._primary(probe) for probe in self._probes}
        reduced = self._reduced(sources)
        return replace(self._whole, runs=self._runs, records={}, reduced=reduced)

    @cached_property
    def read(self) -> list[str]:
        """The swept options that `study` reads, sorted."""
        found = {self._label(cell, [p]) for p in self._swept for cell in self._primary(p).values()}
        return sorted(found - {""})

    def variants(self, probes: Iterable[str]) -> list[Variant]:
        """The trainings by the swept options of some probes; none where no option is swept."""
        wanted = [probe for probe in probes if self._swept.get(probe)]
        labels = {
            cell: self._label(cell, wanted)
            for cell, settings in self._whole.cells.items()
            if set(probes) & set(settings["probes"])
        }
        if not any(labels.values()):
            return []
        return [self._variant(label, labels) for label in label_order.names(labels.values())]

    def _variant(self, label: str, labels: Mapping[str, str]) -> Variant:
        planned = self._whole.planned
        own = planned["cell_id"].map(labels) == label
        finished = self._cells[self._cells["cell_id"].map(labels) == label]
        sources = {probe: self._first(finished, probe) for probe in self._probes}
        trainings = set(finished["representative"])
        ids = [cell for cell in self._runs["cell_id"] if cell in trainings]
        return Variant(label, planned[own], ids, self._reduced(sources))

    @property
    def _probes(self) -> list[str]:
        return sorted({name for each in self._whole.cells.values() for name in each["probes"]})

    def _label(self, cell: str, probes: Iterable[str]) -> str:
        own = self._whole.cells[cell]["probes"]
        found = [variant_label(p, own[p], self._swept[p]) for p in probes if p in own]
        return ", ".join(filter(None, found))

    @cached_property
    def _cells(self) -> pd.DataFrame:
        """A row per finished cell: cell_id, block, and its training's representative.

        The first of a training's cells represents it, by `_ENDINGS`, then in the study's order.
        """
        runs = self._whole.runs
        ids = [self._whole.trainings[cell] for cell in runs["cell_id"]]
        place = runs["status"].map({name: i for i, name in enumerate(_ENDINGS)})
        cells = runs[["cell_id", *BLOCK]].assign(training=ids, place=place)
        cells = cells.sort_values("place", kind="stable")
        first = cells.groupby("training")["cell_id"].first()
        return cells.assign(representative=cells["training"].map(first))

    @cached_property
    def _runs(self) -> pd.DataFrame:
        """The representatives' rows."""
        runs = self._whole.runs
        own = runs[runs["cell_id"].isin(set(self._cells["representative"]))].assign(probes="")
        return label_order.by_labels(own, [*LABELS, "cell_id"])

    def _first(self, cells: pd.DataFrame, probe: str) -> dict[str, str]:
        """By representative, the first of these cells that has the probe."""
        return dict(self._with(cells, probe).groupby("representative")["cell_id"].first())

    def _with(self, cells: pd.DataFrame, probe: str) -> pd.DataFrame:
        """The cells that have the probe."""
        has = [probe in self._whole.cells[cell]["probes"] for cell in cells["cell_id"]]
        return cells[np.array(has, dtype=bool)]  # an empty list would select columns

    def _primary(self, probe: str) -> dict[str, str]:
        """By representative, the cell that the probe is read of."""
        if not self._swept.get(probe):
            return self._first(self._cells, probe)
        cells = self._with(self._cells, probe)
        labels = pd.Series([self._label(c, [probe]) for c in cells["cell_id"]], cells.index)
        found: dict[str, str] = {}
        for _, block in cells.assign(label=labels).groupby(BLOCK, sort=False):
            counts = block.groupby("label")["training"].nunique()
            most = label_order.names(str(label) for label in counts.index[counts == counts.max()])[
                0
            ]
            found |= self._first(block[block["label"] == most], probe)
        return found

    def _reduced(self, sources: Mapping[str, Mapping[str, str]]) -> dict[str, pd.DataFrame]:
        """The reductions by training: of each probe, of the cell that ``sources`` names."""
        own = {cell: cell for cell in self._runs["cell_id"]}
        found = {}
        for name, frame in self._whole.reduced.items():
            probe = _probe_of(name)
            found[name] = _of(frame, own if probe is None else sources.get(probe, {}), self._runs)
        return found


def _probe_of(name: str) -> str | None:
    """The probe that a reduction (`reductions.summaries`) is of; None: of the training itself."""
    kind, _, what = name.partition("/")
    found = {"probes": lambda: VIEWS[what].table, "curves": lambda: _CURVES[what]}
    table = found[kind]() if kind in found else what or "moment_ics"
    return None if table == "training" else table


def _of(frame: pd.DataFrame, sources: Mapping[str, str], runs: pd.DataFrame) -> pd.DataFrame:
    """A reduction's rows of the source cells, as rows of the runs that they are read for."""
    known = frame["cell_id"].cat.categories
    place = np.full(len(known) + 1, -1)
    wanted = [sources.get(cell) for cell in runs["cell_id"]]
    for i, cell in enumerate(wanted):
        if cell is not None and cell in known:
            place[known.get_loc(cell)] = i
    codes = place[frame["cell_id"].cat.codes.to_numpy()]
    rows = np.flatnonzero(codes >= 0)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    kind = pd.CategoricalDtype(list(runs["cell_id"]))
    ids = pd.Categorical.from_codes(codes[rows], dtype=kind)
    found = frame.iloc[rows].reset_index(drop=True).assign(cell_id=ids)
    return concat.labelled(found, runs) if "probes" in found else found
