"""What of a finished cell goes to MLflow beside its files: settings by key, coarse curves."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet

from pipeline.coarse import coarse_curves


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by dotted key: ``training.lr``, ``normalizer.0.name``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for index, inner in enumerate(value):
            yield from flat(inner, f"{prefix}.{index}")
    else:
        yield prefix, value


def points(
    result: Mapping[str, Any], files: Mapping[str, bytes]
) -> Iterator[tuple[str, float, int]]:
    """Key, value and step of every point of a cell's coarse curves, from its result's files."""
    tables = {
        name.removesuffix(".parquet"): pyarrow.parquet.read_table(io.BytesIO(data))
        for name, data in files.items()
        if name.endswith(".parquet")
    }
    for key, curve in coarse_curves(result, tables).items():
        for step, value in curve:
            yield key, value, step
