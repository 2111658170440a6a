"""Which rows of the record tables a table of the report reads: one value a run and probe step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

Records = Mapping[str, pd.DataFrame]


def _all(rows: pd.DataFrame) -> pd.DataFrame:
    return rows


@dataclass(frozen=True)
class View:
    """Rows of a record table.

    Attributes:
        table: its name. needs: columns without which no row can be chosen. rows: chooses them.
        of: which, in words. extra: no table says that it has none.
    """

    table: str
    needs: tuple[str, ...] = ()
    rows: Callable[[pd.DataFrame], pd.DataFrame] = _all
    of: str = ""
    extra: bool = False

    @property
    def description(self) -> str:
        """The records in words."""
        return f"{self.table}{' ' + self.of if self.of else ''}"


def _line(direction: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def rows(frame: pd.DataFrame) -> pd.DataFrame:
        lines = frame[frame["direction"] == direction]
        wanted = ("relative", "common", "lr") if direction == "random" else ("lr",)
        known = [name for name in wanted if (lines["range"] == name).any()]
        return lines[lines["range"] == known[0]] if known else lines.iloc[:0]

    return rows


def _from_second(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["index"] > 1]


def _layers(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["index"] > 0]


def _place(name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def rows(frame: pd.DataFrame) -> pd.DataFrame:
        if "place" not in frame:  # records of before there were several places
            return frame if name == "activation" else frame.iloc[:0]
        known = frame["place"].astype("str").fillna("activation")
        return frame[known == name]

    return rows


def _ball(kind: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def rows(frame: pd.DataFrame) -> pd.DataFrame:
        own = frame[frame["kind"] == kind]
        radii = np.unique(own["rho"].dropna())
        return own[own["rho"] == radii[len(radii) // 2]] if len(radii) else own

    return rows


VIEWS = {
    "gradient_ics": View("gradient_ics", ("index",), _from_second),
    "moment_ics": View("moment_ics", (), _place("activation")),
    "moment_output": View("moment_ics", (), _place("output"), "at place output"),
    "landscape": View("landscape", ("range", "direction"), _line("gradient")),
    "landscape_random": View(
        "landscape", ("range", "direction"), _line("random"), "along random directions"
    ),
    "landscape_update": View(
        "landscape", ("range", "direction"), _line("update"), "along the update", extra=True
    ),
    "distribution_ics": View("distribution_ics", (), _place("activation")),
    "distribution_output": View("distribution_ics", (), _place("output"), "at place output"),
    "gradient_noise": View("gradient_noise", ("index",), _layers),
    "cross_layer": View("cross_layer", ("index",), _from_second),
    "curvature": View("curvature"),
    "scale_invariant": View("scale_invariant"),
    "batchnorm_theorems": View("batchnorm_theorems"),
    "descent_lemma": View("descent_lemma"),
    "signal_propagation": View("signal_propagation"),
    "sharpness_sam": View("sharpness", ("kind", "rho"), _ball("sam")),
    "sharpness_adaptive": View("sharpness", ("kind", "rho"), _ball("adaptive")),
    "sharpness_average": View("sharpness", ("kind", "rho"), _ball("average")),
}


def at_probes(records: Records, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By view: a row per run and probe step, columns the medians over the view's rows there.

    Rows are layers, for gradient ICS from the second on (the first has none by definition). Along
    −∇L ``scaled_beta`` = η_t·β_t is added, to gradient ICS ``turn`` = 1 − cosine. A value of +∞ (a
    landscape that blew up) counts as the largest finite one of its column; others that are not
    finite, and those from the step of divergence on, are left out. A view without rows has no
    columns but ``cell_id`` and ``step``.
    """
    return {name: _medians(_before_divergence(_chosen(records, name), runs)) for name in VIEWS}


def _chosen(records: Records, name: str) -> pd.DataFrame:
    view = VIEWS[name]
    frame = records.get(view.table, pd.DataFrame())
    if not {"cell_id", "step", *view.needs} <= set(frame):
        return pd.DataFrame({"cell_id": pd.Series(dtype=str), "step": pd.Series(dtype=int)})
    rows = view.rows(frame)
    if view.table == "gradient_ics" and "cosine" in rows:
        return rows.assign(turn=(1 - rows["cosine"]).clip(lower=0))  # rounding: a cosine above 1
    if view.table != "landscape":
        return rows
    rows = _blown_up_last(rows)
    if name == "landscape" and "effective_beta" in rows:
        beta = rows["effective_beta"] * _step_lr(rows, records["training"])
        return rows.assign(scaled_beta=beta)
    return rows


def _blown_up_last(rows: pd.DataFrame) -> pd.DataFrame:
    """A landscape that left the finite numbers (+∞) counts as the worst finite one there is."""
    numbers = rows.select_dtypes("float")
    worst = numbers.where(np.isfinite(numbers)).max()
    bounded, names = rows.copy(), list(numbers.columns)
    bounded[names] = numbers.mask(np.isposinf(numbers), worst, axis=1)
    return bounded


def _step_lr(line: pd.DataFrame, training: pd.DataFrame) -> np.ndarray:
    """η_t of each row, from the training records; the set LR where there are none."""
    if "step_lr" not in training:
        return line["lr"].to_numpy()
    at = training[["cell_id", "step", "step_lr"]]
    return (
        line.merge(at, how="left", on=["cell_id", "step"])["step_lr"].fillna(line["lr"]).to_numpy()
    )


def _before_divergence(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    end = table["cell_id"].map(runs.set_index("cell_id")["diverged_step"]).astype(float)
    return table[~(table["step"] >= end)]


def _medians(table: pd.DataFrame) -> pd.DataFrame:
    names = list(table.select_dtypes("float").columns.difference(["lr"], sort=False))
    finite = table[names].where(np.isfinite(table[names]))
    if finite.empty:
        finite = finite[[]]
    keys = [table["cell_id"], table["step"]]
    return finite.groupby(keys, observed=True).median().reset_index()
