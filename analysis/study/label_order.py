"""One order of names for all frames, tables and figures, whatever order the trials came in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

_FIRST = ("none", "batch")


def names(values: Iterable[str]) -> list[str]:
    """Distinct names: none, batch, then the others with their numbers as numbers (8 before 16)."""
    return sorted(set(values), key=_key)


def by_labels(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Sort by columns, words in the order of `names` (ids too), numbers ascending."""
    ranked = frame[list(columns)].apply(_rank)
    order = ranked.sort_values(list(columns), kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def _rank(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.map({name: i for i, name in enumerate(names(column))}).astype(float)


def _key(name: str) -> tuple[int, list[tuple[int, int, str]]]:
    place = _FIRST.index(name) if name in _FIRST else len(_FIRST)
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return place, [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]
