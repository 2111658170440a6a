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
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc

from analysis import sealed

Tables = dict[str, pa.Table]
_WORD = pa.dictionary(pa.int32(), pa.string())


@cache
def reader() -> str:
    """Digest of what makes reductions: this package's code, and the libraries that it calls."""
    sha = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted(here.rglob("*.py")):
        sha.update(path.read_bytes())
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


def decode(data: bytes, head: Mapping[str, Any], wanted: set[str]) -> Tables:
    """The tables of a shard, their rows those of the wanted cells.

    Raises:
        ValueError: if the bytes are not those that were written (an ArrowException is one).
    """
    payload = sealed.content(data, head)
    tables = {
        name: pa.ipc.open_stream(pa.py_buffer(payload[start:end])).read_all()
        for name, (start, end) in head["tables"].items()
    }
    if wanted >= set(head["cells"]):
        return tables
    return {name: _of_cells(table, wanted) for name, table in tables.items()}


def _of_cells(table: pa.Table, wanted: set[str]) -> pa.Table:
    names = table.column("cell_id").cast(pa.string()).to_pandas()
    return table.filter(pa.array(names.isin(wanted)))


def head(data: bytes) -> dict[str, Any]:
    """What a shard says of itself; no cells if it is damaged or of another version of the reader.

    The digest of the rest is checked by `decode`.
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
    cell = pd.Categorical(whole.column("cell_id").to_pandas(), categories=list(cells))
    codes = np.asarray(cell.codes)
    place = np.argsort(codes, kind="stable")
    place = place[codes[place] >= 0]
    columns: dict[str, Any] = {}
    for name in whole.column_names:
        own = pd.Series(cell) if name == "cell_id" else whole.column(name).to_pandas()
        columns[name] = own.take(place).reset_index(drop=True)
        whole = whole.drop_columns(name)
    return pd.DataFrame(columns, copy=False)
