"""Two studies as one, in which each side's normalizers bear its name.

So both sides are read with the same yardsticks: one target loss, one chance accuracy, one worst
loss per block (data × training × architecture).
"""

from __future__ import annotations

import pandas as pd

from analysis.study.study import Study

SIDES = ("here", "there")
_MARK = "\x1f"


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


def own(cell_ids: pd.Series) -> set[str]:
    """The ids that the cells have in their stores."""
    return set(cell_ids.astype(str).str.partition(_MARK)[0])


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
