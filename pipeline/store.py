"""The store: where planned sweeps and finished cells live, on a disk or in object storage.

    <root>/sweeps/<name>.json            what a sweep file asked for: its cells, in order
    <root>/cells/<cell_id>/*.parquet     the records, one table a file
    <root>/cells/<cell_id>/result.json   written last: its presence means that the cell is finished
    <root>/cells/<cell_id>/failure.json  why the last trial of an unfinished cell raised

Every file appears whole or not at all, so a kill at any moment leaves finished cells and unfinished
ones, and nothing between. Cells are shared by all sweeps of a store: none is computed twice.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.spec import SCHEMA

if TYPE_CHECKING:
    import pyarrow

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ATTEMPTS = 10
"""Times that a trial writes its cell before it gives up: only another writer makes it try twice."""


class StoreError(ValueError):
    """A file of the store is missing, damaged or of another schema; the message names it."""


class Store:
    """A store at ``root``: a local folder or an fsspec URI (``s3://bucket/folder``)."""

    def __init__(self, root: str) -> None:
        try:
            filesystem, path = fsspec.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{root}: not a place for a store: {error}") from None
        self.filesystem: fsspec.AbstractFileSystem = filesystem
        self.root = path.rstrip("/")
        self.uri = self.root if isinstance(filesystem, LocalFileSystem) else root
        """Where the store is, for any process: a local folder's absolute path, or the URI."""

    # What was asked for ---------------------------------------------------------------------------

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Save a sweep's planned cells under its name."""
        self._write(f"sweeps/{_checked(plan['name'])}.json", _json(plan))

    def plan(self, name: str) -> dict[str, Any]:
        """Read a sweep's planned cells."""
        return self._read_json(f"sweeps/{_checked(name)}.json")

    def plan_bytes(self, name: str) -> bytes:
        """The file of a sweep's planned cells, as it is."""
        return self._read(f"sweeps/{_checked(name)}.json")

    def plans(self) -> list[str]:
        """Names of the sweeps that this store knows, sorted."""
        return sorted(
            path.rsplit("/", 1)[-1].removesuffix(".json")
            for path in self._find("sweeps")
            if path.endswith(".json")
        )

    # What was found -------------------------------------------------------------------------------

    def finished(self) -> set[str]:
        """Ids of the cells that have a result."""
        return _cells_with("result.json", self._find("cells"))

    def failed(self) -> set[str]:
        """Ids of the cells whose last trial raised and that have no result."""
        paths = self._find("cells")  # one listing for both: on object storage it costs
        return _cells_with("failure.json", paths) - _cells_with("result.json", paths)

    def write_result(
        self, result: Mapping[str, Any], records: Mapping[str, pyarrow.Table]
    ) -> dict[str, Any]:
        """Save a finished cell: its record tables first, ``result.json`` last.

        Two trials of one cell may write at once (a worker that was taken for lost, two sweeps). If
        their numbers differ, so do their files; then the one that wrote ``result.json`` last writes
        again until all files are its own.

        Returns:
            The result as written, with ``records``: rows and sha256 of each file.
        """
        cell_id = _checked(result["cell_id"])
        files, written = {}, {}
        for name, table in records.items():
            file = f"{_checked(name)}.parquet"
            files[file] = parquet_bytes(table)
            digest = hashlib.sha256(files[file]).hexdigest()
            written[file] = {"rows": table.num_rows, "sha256": digest}
        complete = {**result, "records": written}
        files["result.json"] = _json(complete)
        self._remove(f"cells/{cell_id}/result.json")  # of an earlier trial, whose records go now
        for attempt in range(_ATTEMPTS):
            for name, data in files.items():
                self._write(f"cells/{cell_id}/{name}", data)
            if self._is_settled(cell_id, files):
                self._remove(f"cells/{cell_id}/failure.json")
                return complete
            time.sleep(random.uniform(0, 0.01 * 2**attempt))  # or two keep in each other's way
        raise StoreError(f"{self._full('cells')}/{cell_id}: what is written does not stay")

    def _is_settled(self, cell_id: str, files: Mapping[str, bytes]) -> bool:
        """Whether all is as written, or ``result.json`` is another's, who does this in its turn."""
        try:
            last = self._read(f"cells/{cell_id}/result.json")
            if last != files["result.json"]:
                return True
            return all(self._read(f"cells/{cell_id}/{name}") == files[name] for name in files)
        except StoreError:  # another trial has begun to write, and removed ``result.json`` first
            return True

    def write_failure(self, failure: Mapping[str, Any]) -> None:
        """Save why a trial raised; the cell stays unfinished."""
        self._write(f"cells/{_checked(failure['cell_id'])}/failure.json", _json(failure))

    def result(self, cell_id: str) -> dict[str, Any]:
        """Read a finished cell's ``result.json``."""
        return self._read_json(f"cells/{_checked(cell_id)}/result.json")

    def failure(self, cell_id: str) -> dict[str, Any]:
        """Read why a cell's last trial raised."""
        return self._read_json(f"cells/{_checked(cell_id)}/failure.json")

    def failure_bytes(self, cell_id: str) -> bytes:
        """The file that says why a cell's last trial raised, as it is."""
        return self._read(f"cells/{_checked(cell_id)}/failure.json")

    def files(self, result: Mapping[str, Any]) -> dict[str, bytes]:
        """All files of a finished cell by name, the records checked against their digests."""
        cell_id = _checked(result["cell_id"])
        names = [*result["records"], "result.json"]
        return {name: self._checked_bytes(cell_id, name, result) for name in names}

    def records(self, result: Mapping[str, Any], name: str) -> pyarrow.Table | None:
        """Read one record table of a finished cell; None if the cell has no such table.

        Raises:
            StoreError: if the file is missing or is not what ``result.json`` says was written.
        """
        import pyarrow
        import pyarrow.parquet

        if f"{name}.parquet" not in result["records"]:
            return None
        data = self._checked_bytes(result["cell_id"], f"{name}.parquet", result)
        # Seven times as fast as read_table, which sets up a dataset for every small file.
        return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data)).read()

    def _checked_bytes(self, cell_id: str, name: str, result: Mapping[str, Any]) -> bytes:
        path = f"cells/{_checked(cell_id)}/{_checked(name)}"
        data = self._read(path)
        expected = result["records"].get(name)
        if expected and hashlib.sha256(data).hexdigest() != expected["sha256"]:
            raise StoreError(
                f"{self._full(path)}: not the file that was written (its digest differs); delete "
                f"the folder of cell {cell_id} and run the sweep again to compute it anew"
            )
        return data

    # Files ----------------------------------------------------------------------------------------

    def write_file(self, path: str, data: bytes) -> None:
        """Write a file of a copied store (`pipeline.tracking.download`), whole or not at all."""
        self._write("/".join(_checked(part) for part in path.split("/")), data)

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}"

    def _find(self, folder: str) -> list[str]:
        self.filesystem.invalidate_cache()
        return list(self.filesystem.find(self._full(folder)))

    def _read(self, path: str) -> bytes:
        try:
            data = self.filesystem.cat_file(self._full(path))
        except FileNotFoundError:
            raise StoreError(f"{self._full(path)}: no such file in the store") from None
        assert isinstance(data, bytes)
        return data

    def _read_json(self, path: str) -> dict[str, Any]:
        try:
            content = json.loads(self._read(path))
        except ValueError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{self._full(path)}: damaged, not JSON ({error})") from None
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema != SCHEMA:
            raise StoreError(f"{self._full(path)}: schema {schema}, this version reads {SCHEMA}")
        return content

    def _write(self, path: str, data: bytes) -> None:
        full = self._full(path)
        try:
            if isinstance(self.filesystem, LocalFileSystem):
                _write_local(full, data)
            else:
                self.filesystem.pipe_file(full, data)  # object stores publish an object whole
        except OSError as error:
            problem = error.strerror or error
            raise StoreError(f"{full}: cannot be written: {problem}") from None

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self.filesystem.rm_file(self._full(path))


def _write_local(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.{uuid4().hex}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise


def parquet_bytes(table: pyarrow.Table) -> bytes:
    """Encode a record table: dictionary strings, zstd, the schema version in its metadata."""
    import pyarrow.parquet

    sink = io.BytesIO()
    metadata = {**(table.schema.metadata or {}), b"normscope_schema": str(SCHEMA).encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    return sink.getvalue()


def _json(content: Mapping[str, Any]) -> bytes:
    """Encode strictly: a NaN in a result is a bug of its writer, not a value."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _cells_with(file: str, paths: Iterable[str]) -> set[str]:
    return {path.rsplit("/", 2)[-2] for path in paths if path.endswith("/" + file)}


def _checked(name: str) -> str:
    """Refuse a name that could leave the store's root."""
    if not _NAME.fullmatch(name.removesuffix(".json").removesuffix(".parquet")):
        raise StoreError(f"{name!r}: not a name in a store (a-z, 0-9, _ and -, at most 64)")
    return name
