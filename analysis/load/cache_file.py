"""Reduced cells as bytes: what passes between processes, and what a cache keeps.

A shard is a ZIP file: ``cells.json`` (the cells, the digests of their results, and the reader's),
and one Parquet file per reduction. No pickle: what reads it runs nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.load import code_digest as made_by

_WORD = pa.dictionary(pa.int32(), pa.string())
_CELLS = "cells.json"


@cache
def reader() -> str:
    """Digest of what makes reductions: this package's code, and the libraries that it calls."""
    sha = hashlib.sha256(made_by.code().encode())
    for name in ("numpy", "pandas", "pyarrow"):
        sha.update(f"{name} {version(name)}\n".encode())
    return sha.hexdigest()


def encode(cells: Mapping[str, str], frames: Mapping[str, pd.DataFrame]) -> bytes:
    """The reductions of some cells, by id their digests."""
    data = io.BytesIO()
    with ZipFile(data, "w") as shard:
        shard.writestr(_CELLS, json.dumps({"cells": dict(cells), "reader": reader()}))
        for name, frame in frames.items():
            table = io.BytesIO()
            pq.write_table(_table(frame), table, compression="zstd")
            shard.writestr(name, table.getvalue())
    return data.getvalue()


def _table(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    fields = [
        pa.field(f.name, _WORD if pa.types.is_dictionary(f.type) else f.type) for f in table.schema
    ]
    return table.cast(pa.schema(fields))


class Part:
    """The tables of a shard, each decoded when it is asked for.

    Attributes:
        cells: by id the digests of their results; empty where another reader made the shard.
        wanted: the cells whose rows count, all at first.
    """

    def __init__(self, data: bytes) -> None:
        self._shard = ZipFile(io.BytesIO(data))
        head = json.loads(self._shard.read(_CELLS))
        self.cells: dict[str, str] = head["cells"] if head["reader"] == reader() else {}
        self.wanted = set(self.cells)

    @property
    def names(self) -> set[str]:
        """Of its tables."""
        return set(self._shard.namelist()) - {_CELLS}

    def table(self, name: str) -> pa.Table:
        """The rows of the cells that count."""
        table = pq.ParquetFile(pa.BufferReader(self._shard.read(name))).read()
        return table if self.wanted >= set(self.cells) else _rows_of_cells(table, self.wanted)


def _rows_of_cells(table: pa.Table, wanted: set[str]) -> pa.Table:
    names = table.column("cell_id").cast(pa.string()).to_pandas()
    return table.filter(pa.array(names.isin(wanted)))


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
