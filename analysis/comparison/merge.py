"""Two studies as one, in which each side's normalizers bear its name.

So both sides are read with the same yardsticks: one target loss, one chance accuracy, one worst
loss per block (data × training × architecture).
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis.study import LABELS, Study, labelled
from pipeline.spec import varying_training

SIDES = ("here", "there")
_MARK = "\x1f"


def alike(here: Study, there: Study) -> tuple[Study, Study]:
    """Both studies, their training labelled by what varies within either: like cells, like labels.

    What differs between the two alone is in no label, so that it can be compared.
    """
    names: set[str] = set()
    for study in (here, there):
        names |= {*varying_training(cell["training"] for cell in study.cells.values())}
    return _labelled(here, names), _labelled(there, names)


def _labelled(study: Study, names: set[str]) -> Study:
    rows = study.planned.drop_duplicates("cell_id").to_dict("records")
    own = {str(row["cell_id"]): {name: row[name] for name in LABELS} for row in rows}
    cells = {cell: settings for cell, settings in study.cells.items() if cell in own}
    labels = labelled(cells, own, names)
    training = {cell: each["training"] for cell, each in labels.items()}
    planned, runs = (
        frame.assign(training=frame["cell_id"].map(training)) if len(frame) else frame
        for frame in (study.planned, study.runs)
    )
    return replace(study, planned=planned, runs=runs)


def joined(here: Study, there: Study) -> Study:
    """One study of both; of the records what tables read.

    A normalizer reads `marked`; cells that both have are there twice, under ids of their own.
    """
    both = (here, there)
    return Study(
        sweeps=[*here.sweeps, *there.sweeps],
        planned=pd.concat([_marked(s.planned, side) for s, side in zip(both, SIDES, strict=True)]),
        runs=pd.concat(
            [_marked(s.runs, side) for s, side in zip(both, SIDES, strict=True)],
            ignore_index=True,
        ),
        records={},
        problems=[],
        provenance={},
        reduced={name: _reduced(both, name) for name in _read_by_tables(both)},
    )


def marked(normalizer: str, side: str) -> str:
    """The normalizer's name on one side."""
    return f"{normalizer}{_MARK}{side}"


def _marked(rows: pd.DataFrame, side: str) -> pd.DataFrame:
    names = ("cell_id", "normalizer")
    return rows.assign(**{name: rows[name].astype(str) + _MARK + side for name in names})


def _read_by_tables(studies: tuple[Study, Study]) -> list[str]:
    names = {name for study in studies for name in study.reduced}
    return sorted(name for name in names if name.startswith(("records/", "probes/")))


def _reduced(studies: tuple[Study, Study], name: str) -> pd.DataFrame:
    """One reduction of both; words stay categories, for they are many."""
    known = [
        (s.reduced[name], side) for s, side in zip(studies, SIDES, strict=True) if name in s.reduced
    ]
    frames = [_renamed(frame, side) for frame, side in known if len(frame)]
    if not frames:
        return known[0][0]
    stacked = pd.concat(frames, ignore_index=True)
    words = stacked.select_dtypes(["object", "str"]).columns
    return stacked.astype(dict.fromkeys(words, "category"))


def _renamed(rows: pd.DataFrame, side: str) -> pd.DataFrame:
    columns = {}
    for name in {"cell_id", "normalizer"} & set(rows):
        words = rows[name].astype("category").cat
        columns[name] = words.rename_categories([f"{w}{_MARK}{side}" for w in words.categories])
    return rows.assign(**columns)
