"""From the labels of Parquet files to class numbers 0 … K − 1.

Class names, where the files' schema has them (Hugging Face's ClassLabel), decide. Without them
words are numbered in sorted order, and integers must be 0 … K − 1 or 1 … K.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.cli import did_you_mean

_log = logging.getLogger(__name__)


class Label(NamedTuple):
    """A label as it is stored, and what an error calls it."""

    name: str
    value: int | str | None


class Classes(NamedTuple):
    """How stored labels become class numbers."""

    numbers: Mapping[int | str, int]
    otherwise: str
    """What is wrong with any other label."""

    def number(self, labels: Sequence[Label]) -> NDArray[np.int64]:
        """Number labels, (N,).

        Raises:
            ValueError: naming the first label that is no class.
        """
        found = np.empty(len(labels), dtype=np.int64)
        for i, (name, value) in enumerate(labels):
            if value is None or value not in self.numbers:
                raise ValueError(f"{name}: {self._problem(value)}")
            found[i] = self.numbers[value]
        return found

    def _problem(self, value: int | str | None) -> str:
        if value is None:
            return "has no label; leave out such rows"
        if isinstance(value, int) and value < 0:
            return f"label {value}, as rows without a label have it; leave out such rows"
        return f"label {value}, but {self.otherwise}"


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names of a column's classes, if Hugging Face's metadata of the schema has them."""
    try:
        found: Any = json.loads((schema.metadata or {})[b"huggingface"])
        names = found["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return names if isinstance(names, list) and names else None


def classes(train: Sequence[Label], held_out: Sequence[Label], names: list[str] | None) -> Classes:
    """Choose how to number the labels of a dataset.

    Args:
        train: labels of the training rows, which must show every class unless there are names.
        held_out: labels of all other rows.
        names: of the classes, in order, if the files tell them.

    Raises:
        ValueError: naming the row whose label fits no reading.
    """
    seen = {label.value for label in train if label.value is not None}
    if any(isinstance(value, str) for value in seen):
        return _word_classes({str(value) for value in seen}, names)
    numbers = {int(value) for value in seen}
    others = {label.value for label in held_out if isinstance(label.value, int)}
    count = len(names) if names else len(numbers)
    if _are_from_one(numbers, others, count, bool(names)):
        _log.warning("labels are 1 to %d: class number is label - 1", count)
        otherwise = f"labels must be 1 … {count}, as the other labels are"
        return Classes({n: n - 1 for n in range(1, count + 1)}, otherwise)
    if names:
        otherwise = f"the files name {count} classes: labels must be 0 … {count - 1}"
        return Classes({n: n for n in range(count)}, otherwise)
    return _without_gap(numbers)


def _are_from_one(numbers: set[int], others: set[int], count: int, named: bool) -> bool:
    """Whether labels must be counted from 1: none is 0, one is K, and without names all occur."""
    found = numbers | others
    return min(found, default=0) >= 1 and max(found) == count > 1 and (named or numbers == found)


def _word_classes(seen: set[str], names: list[str] | None) -> Classes:
    known = names or sorted(seen)
    where = "the files' class names have" if names else "a training row has"
    otherwise = f"labels must be words that {where}: {did_you_mean('', known)}"
    return Classes({name: number for number, name in enumerate(known)}, otherwise)


def _without_gap(numbers: set[int]) -> Classes:
    gap = next(number for number in range(len(numbers) + 1) if number not in numbers)
    otherwise = (
        f"no training row has label {gap}: "
        "labels must be 0 … K − 1 or 1 … K, each in the training files"
    )
    return Classes({n: n for n in range(gap)}, otherwise)
