"""Reduced cells as bytes: what passes between processes, and what a cache keeps.

A line of JSON (the cells with the digests of their results, where each table lies, the digest of
the rest), then Arrow streams. No pickle: what reads it runs nothing.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc

from analysis.load import code_digest as made_by
from analysis.load import sealed

_WORD = pa.dictionary(pa.int32(), pa.string())


@cache
def reader() -> str:
    """Digest of what makes reductions: this package's code, and the libraries that it calls."""
    sha = hashlib.sha256(made_by.code().encode())
    for name in ("numpy", "pandas", "pyarrow"):
        sha.update(f"{name} {version(name)}\n".encode())
    return sha.hexdigest()


def encode(cells: Mapping[str, str], frames: Mapping[str, pd.DataFrame]) -> bytes:
    """The reductions of some cells, by id their digests."""
    payload, places = io.BytesIO(), {}
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    for name, frame in frames.items():
        table, start = _table(frame), payload.tell()
        with pa.ipc.new_stream(payload, table.schema, options=options) as writer:
            writer.write_table(table)
        places[name] = [start, payload.tell()]
    head = {"cells": dict(cells), "tables": places, "reader": reader()}
    return sealed.sealed(head, payload.getvalue())


def _table(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    fields = [
        pa.field(f.name, _WORD if pa.types.is_dictionary(f.type) else f.type) for f in table.schema
    ]
    return table.cast(pa.schema(fields))


class Part:
    """Some cells' tables in a shard, each decoded when it is asked for.

    Raises:
        ValueError: if the bytes are not those that were written.
    """

    def __init__(self, data: bytes, head: Mapping[str, Any], wanted: set[str]) -> None:
        """A shard, its head, and the cells whose rows count."""
        self._payload = sealed.content(data, head)
        self._places, self._wanted = head["tables"], wanted
        self._whole = wanted >= set(head["cells"])

    @property
    def names(self) -> set[str]:
        """Of its tables."""
        return set(self._places)

    def table(self, name: str) -> pa.Table:
        """The rows of the cells that count."""
        start, end = self._places[name]
        table = pa.ipc.open_stream(pa.py_buffer(self._payload[start:end])).read_all()
        return table if self._whole else _of_cells(table, self._wanted)


def _of_cells(table: pa.Table, wanted: set[str]) -> pa.Table:
    names = table.column("cell_id").cast(pa.string()).to_pandas()
    return table.filter(pa.array(names.isin(wanted)))


def head(data: bytes) -> dict[str, Any]:
    """What a shard says of itself; no cells if it is damaged or of another version of the reader.

    The digest of the rest is checked by `Part`.
    """
    try:
        found = sealed.said(data)
        known = found["reader"] == reader() and isinstance(found["sha256"], str)
        cells = {str(k): str(v) for k, v in found["cells"].items()}
        tables = {str(k): (int(a), int(b)) for k, (a, b) in found["tables"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"cells": {}}
    return {**found, "cells": cells, "tables": tables} if known else {"cells": {}}


def joined(parts: list[pa.Table], cells: Sequence[str]) -> pd.DataFrame:
    """Tables one below the other as a frame, in the order of these cells; others are left out.

    Words become categories. Column by column: no more than one is held twice.
    """
    whole = pa.concat_tables(parts, promote_options="permissive").unify_dictionaries()
    parts.clear()
    own = whole.column("cell_id").to_pandas().cat
    codes = pd.Index(cells).get_indexer(own.categories)[own.codes]
    cell = pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(cells)))
    place = np.argsort(codes, kind="stable")
    place = place[codes[place] >= 0]
    columns: dict[str, Any] = {}
    for name in whole.column_names:
        column = pd.Series(cell) if name == "cell_id" else whole.column(name).to_pandas()
        columns[name] = column.take(place).reset_index(drop=True)
        whole = whole.drop_columns(name)
    return pd.DataFrame(columns, copy=False)
