"""What the report reads of a cell's records: some hundred rows for its many thousand.

Every reduction is of one cell alone, so cells may come in any batches, and from a cache:

- ``probes/VIEW``: medians over a probe step's rows (`views.at_probes`), of the tables' measures;
- ``records/TABLE``: rows as they are, of few columns, of what is chosen only once all cells are
  known (which range of a landscape, which radius of a ball); of ``training`` the rows that no
  reading skips (`_training`);
- ``curves/CURVE``: a run's line in a figure, x and y;
- ``fans``: the quantiles of the activations of three layers;
- ``layers/TABLE``: how many weight layers a network has; of ``batchnorm_theorems`` the largest gap
  of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from analysis import metrics
from analysis.reductions import curve_data, over_steps, record_views
from analysis.reductions.record_views import VIEWS
from analysis.study import concat

Frames = dict[str, pd.DataFrame]
Records = Mapping[str, pd.DataFrame]

_WHOLE = {
    "landscape": ["range", "direction", "gradient_norm", *curve_data.LANDSCAPE],
    "sharpness": ["kind", "rho"],
    "descent_lemma": ["predicted", "realised"],
}
"""Tables whose rows are kept, and their columns besides the measures."""
_LAYERED = ("gradient_ics", "scale_invariant", "cross_layer")


def reduce_records(records: Records, runs: pd.DataFrame) -> Frames:
    """The reductions of some cells' records (`stack.records`, ``training`` smoothed).

    Args:
        runs: a row a cell: cell_id, steps, diverged_step. Cost: linear in the rows.
    """
    known = {name: _wanted(name, frame) for name, frame in records.items()}
    found = {f"probes/{name}": frame for name, frame in _probes(known, runs).items()}
    found |= {f"records/{name}": known[name] for name in _WHOLE if name in known}
    found["records/training"] = _training(records["training"], known.get("landscape"))
    found |= {f"layers/{name}": _layers(records[name]) for name in _LAYERED if name in records}
    if "batchnorm_theorems" in known:
        found["layers/batchnorm_theorems"] = _largest(known["batchnorm_theorems"], runs)
    return {**found, **curve_data.reduce_records(records, runs)}


def labelled(reduced: Iterable[tuple[str, pd.DataFrame]], runs: pd.DataFrame) -> Frames:
    """The reductions, in the order of the runs; labels for those of tables' rows and of layers.

    None for the training curves, by far the most rows.
    """
    told = ("records/", "layers/")
    return {
        name: concat.labelled(frame, runs)
        if name.startswith(told) and name != "records/training"
        else frame
        for name, frame in reduced
    }


def at_probes(reduced: Records, runs: pd.DataFrame) -> Frames:
    """`views.at_probes` of all cells, from their reductions."""
    whole = {name: reduced[f"records/{name}"] for name in _WHOLE if f"records/{name}" in reduced}
    found = record_views.at_probes({**whole, "training": reduced["records/training"]}, runs)
    return {name: reduced.get(f"probes/{name}", view) for name, view in found.items()}


def _measured() -> dict[str, list[str]]:
    """By table, the columns that measures are read from."""
    found: dict[str, dict[str, None]] = {}
    for item in (*metrics.ICS, *metrics.SMOOTHNESS, *metrics.SHARPNESS, *metrics.THEORY):
        found.setdefault(VIEWS[item.record].table, {})[item.column] = None
    return {table: list(columns) for table, columns in found.items()}


_MEASURED = _measured()
_KEYS = ["cell_id", "step", "index", "layers", "place"]


def _wanted(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that any reduction but a figure's reads; what is measured, as numbers."""
    measured = _MEASURED.get(table, [])
    columns = dict.fromkeys([*_KEYS, *_WHOLE.get(table, ()), *measured])
    kept = frame[[name for name in columns if name in frame]]
    if table == "landscape" and {"range", "direction"} <= set(kept):
        kept = kept[(kept["direction"] != "gradient") | (kept["range"] == "lr")]
    return kept.astype({name: float for name in measured if name in kept})


def _probes(known: Records, runs: pd.DataFrame) -> Frames:
    own = {name: frame for name, frame in known.items() if name not in _WHOLE}
    found = record_views.at_probes(own, runs)
    return {name: found[name] for name, view in VIEWS.items() if view.table in own}


def _training(training: pd.DataFrame, landscape: pd.DataFrame | None) -> pd.DataFrame:
    """The rows of the curve from which what the whole curve says can be read.

    The first row, where the smoothed loss is at its lowest so far (so the first step at or below
    any level), before a gap in it and at its end, the evaluated ones, and those of the landscape.
    """
    columns = ("cell_id", "step", "train_accuracy", "smooth_loss", "step_lr")
    columns += ("test_accuracy", "test_loss")
    frame = training[[name for name in columns if name in training]]
    smooth = frame["smooth_loss"]
    cell = frame["cell_id"].cat.codes
    lowest = smooth.groupby(cell).cummin().groupby(cell).shift()
    record = (smooth < lowest) | (smooth.notna() & lowest.isna())
    before = smooth.notna() & smooth.groupby(cell).shift(-1).isna()
    keep = record | before | (frame["step"] == 0)
    for name in ("test_accuracy", "test_loss"):
        if name in frame:
            keep |= frame[name].notna()
    return frame[keep | _probed(frame, landscape)]


def _probed(frame: pd.DataFrame, landscape: pd.DataFrame | None) -> np.ndarray:
    if landscape is None:
        return np.zeros(len(frame), bool)
    keys = ["cell_id", "step"]
    return pd.MultiIndex.from_frame(frame[keys]).isin(pd.MultiIndex.from_frame(landscape[keys]))


def _layers(frame: pd.DataFrame) -> pd.DataFrame:
    if "layers" not in frame:
        return frame[["cell_id"]].iloc[:0].assign(layers=0)
    return frame.groupby("cell_id", observed=True)["layers"].max().reset_index()


def _largest(frame: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per cell, the largest finite value of any layer and probe before the divergence."""
    end = frame["cell_id"].map(runs.set_index("cell_id")["diverged_step"]).astype(float)
    names = [name for name in _MEASURED["batchnorm_theorems"] if name in frame]
    own = frame.loc[~(frame["step"] >= end), ["cell_id", *names]]
    own = own.assign(**{name: own[name].abs().where(np.isfinite(own[name])) for name in names})
    return own.groupby("cell_id", observed=True).max().reset_index()


def smoothed(records: Frames, runs: pd.DataFrame) -> Frames:
    """The records with the training curve's smoothed loss, and without a curve an empty one."""
    empty = pd.DataFrame({"step": pd.Series(dtype=int), "cell_id": pd.Series(dtype="category")})
    training = records.get("training", empty)
    return {**records, "training": over_steps.smooth(training, runs)}
