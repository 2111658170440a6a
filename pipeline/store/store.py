"""The store: where planned sweeps and finished cells live, on a disk or in object storage.

    <root>/store.json                    the id by which MLflow knows its runs; where it is
    <root>/sweeps/<name>/<plan_id>.json  what a sweep file asked for: its cells, in order
    <root>/cells/<cell_id>/*.parquet     the records, one table a file
    <root>/cells/<cell_id>/result.json   written last: its presence means that the cell is finished
    <root>/cells/<cell_id>/failure.json  why the last trial of an unfinished cell raised
    <root>/cells/<cell_id>/lost.json     what is known of its lost worker, and how many were lost
    <root>/cells/<cell_id>/log.txt       what the last trial printed, warned of and logged
    <root>/cells/<cell_id>/checkpoint.pt  where a long trial stands; gone once it has a result
    <root>/contents/<key>/*.json         digests of data that only trials can read, to compare them
    <root>/leases/<name>.json            which driver is running a sweep
    <root>/leases/<name>/<i>-of-<n>.json which driver is running a shard of it
    <root>/stops/…                       which of these drivers are asked to stop
    <root>/mirrored/<name>.json          of which state of a sweep MLflow is the mirror

Every file is written atomically, so a kill at any moment leaves finished cells and unfinished ones,
and nothing between. Cells are shared by all sweeps of a store: none is computed twice.
"""

from __future__ import annotations

import hashlib
import io
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.store.driver_notes import DriverNotes
from pipeline.store.filesystem import (
    SCHEMA,
    MissingFileError,
    StoreError,
    json_bytes,
    validate_name,
)
from pipeline.store.seal import is_altered, sealed

if TYPE_CHECKING:
    import pyarrow

_ATTEMPTS = 10
"""Times that a trial writes its cell before it gives up: another writer can make it try again."""

_Bytes = Mapping[str, bytes]
"""Files by name."""
SideFile = Literal["failure.json", "lost.json", "log.txt", "checkpoint.pt"]
"""What may lie in a cell's folder beside its result."""


@dataclass(frozen=True)
class CellStates:
    """How the cells of a store stand: ids, each in one set at most."""

    finished: set[str]
    """Have a result."""
    failed: set[str]
    """Have none: their last trial raised, or did not come back in time."""
    lost: set[str]
    """Have none: their workers were lost."""


class Store(DriverNotes):
    """A store at ``root``: a local folder or an fsspec URI (``s3://bucket/folder``)."""

    # What was asked for ---------------------------------------------------------------------------

    def plan(self, name: str, plan_id: str | None = None) -> dict[str, Any]:
        """Read a sweep's planned cells: of one plan, or of the one to show (`best_first`).

        Raises:
            StoreError: if there is none.
        """
        if plan_id is not None:
            return self.read_plan(name, plan_id, ()).content
        if not self.plan_ids(name):
            raise StoreError(f"{self._full('sweeps')}/{name}: no such file in the store")
        return self.plans_of(name, self.finished())[0].content

    # What was found -------------------------------------------------------------------------------

    def cell_states(self) -> CellStates:
        """Tell finished, failed and lost cells apart, from one listing of the store."""
        paths = self._find("cells")
        finished = _cells_with("result.json", paths)
        failed = _cells_with("failure.json", paths) - finished
        return CellStates(finished, failed, _cells_with("lost.json", paths) - finished - failed)

    def finished(self) -> set[str]:
        """Ids of the cells that have a result."""
        return self.cell_states().finished

    def failed(self) -> set[str]:
        """Ids of the cells whose last trial raised and that have no result."""
        return self.cell_states().failed

    def write_result(
        self, result: Mapping[str, Any], records: Mapping[str, pyarrow.Table]
    ) -> dict[str, Any]:
        """Save a finished cell: its record tables first, ``result.json`` once they read back whole.

        What does not read back as written is written again. The place may be at fault, or another
        trial of the cell that writes at the same time (of a worker that was taken for lost, of
        another sweep) and whose numbers differ: then the last one to write has all files.

        Names of its own for each trial's records would not do instead. Storage that corrupts what
        it is given is found by reading back, and nobody could delete a trial's records safely
        while another trial of the cell may still name them.

        Returns:
            The result as written, with ``records``: rows and sha256 of each file, and ``sha256``
            of the result itself.

        Raises:
            StoreError: if the files do not stay as written; the cell then has no result.
        """
        cell_id = validate_name(result["cell_id"])
        tables = {f"{validate_name(name)}.parquet": parquet_bytes(t) for name, t in records.items()}
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in tables.items()}
        rows = {f"{name}.parquet": table.num_rows for name, table in records.items()}
        written = {name: {"rows": rows[name], "sha256": digests[name]} for name in tables}
        complete = sealed({**result, "records": written})
        ending = {"result.json": json_bytes(complete)}
        for attempt in range(_ATTEMPTS):
            if self._write_and_verify(cell_id, tables, ending):
                for name in ("failure.json", "lost.json", "checkpoint.pt"):
                    self.delete_side_file(cell_id, name)
                return complete
            time.sleep(random.uniform(0, 0.01 * 2**attempt))  # or two keep in each other's way
        self._remove(f"cells/{cell_id}/result.json")
        raise StoreError(f"{self._full('cells')}/{cell_id}: what is written does not stay")

    def _write_and_verify(self, cell_id: str, tables: _Bytes, ending: _Bytes) -> bool:
        """Write a cell's tables and then its ending; whether all that reads back as written."""
        self._remove(f"cells/{cell_id}/result.json")  # of a trial whose records go now
        for name, data in tables.items():
            self._write(f"cells/{cell_id}/{name}", data)
        if not self._matches(cell_id, tables):
            return False
        for name, data in ending.items():
            self._write(f"cells/{cell_id}/{name}", data)
        return self._matches(cell_id, {**tables, **ending})

    def _matches(self, cell_id: str, files: _Bytes) -> bool:
        try:
            return all(self._read(f"cells/{cell_id}/{name}") == files[name] for name in files)
        except MissingFileError:  # another trial has begun to write: it removes ``result.json``
            return False

    def write_failure(self, failure: Mapping[str, Any]) -> None:
        """Save why a trial raised; the cell stays unfinished."""
        self.write_side_file(failure["cell_id"], "failure.json", json_bytes(failure))

    def write_lost(self, lost: Mapping[str, Any]) -> None:
        """Save what is known of a lost worker, and count it; the cell stays unfinished."""
        before = self.read_side_file(lost["cell_id"], "lost.json")
        times = 0 if before is None else self.times_lost(lost["cell_id"])
        self.write_side_file(lost["cell_id"], "lost.json", json_bytes({**lost, "times": times + 1}))

    def times_lost(self, cell_id: str) -> int:
        """In how many runs a lost cell was lost, since it was last reopened."""
        return self.read_lost(cell_id).get("times", 1)

    def read_lost(self, cell_id: str) -> dict[str, Any]:
        """Read what is known of a cell's lost worker."""
        return self._read_json(f"cells/{validate_name(cell_id)}/lost.json")

    def has_result(self, cell_id: str) -> bool:
        """Whether a cell is finished."""
        return self._exists(f"cells/{validate_name(cell_id)}/result.json")

    def result(self, cell_id: str) -> dict[str, Any]:
        """Read a finished cell's ``result.json``.

        Raises:
            StoreError: if it is missing, or not what was written: its digest differs.
        """
        path = f"cells/{validate_name(cell_id)}/result.json"
        result = self._read_json(path)
        if is_altered(result):
            raise StoreError(f"{self._full(path)}: {_altered(cell_id)}")
        if result.get("cell_id") != cell_id:
            raise StoreError(
                f"{self._full(path)}: the result of cell {result.get('cell_id')}; delete the "
                f"folder of cell {cell_id} and run the sweep again to compute it anew"
            )
        return result

    def failure(self, cell_id: str) -> dict[str, Any]:
        """Read why a cell's last trial raised."""
        return self._read_json(f"cells/{validate_name(cell_id)}/failure.json")

    def failure_bytes(self, cell_id: str) -> bytes:
        """The file that says why a cell's last trial raised, as it is."""
        return self._read(f"cells/{validate_name(cell_id)}/failure.json")

    def ending_bytes(self, cell_id: str) -> bytes:
        """The file that says how a cell has ended, as it is: its result, or else its failure."""
        if self.has_result(cell_id):
            return self._read(f"cells/{cell_id}/result.json")
        return self.failure_bytes(cell_id)

    def files(self, result: Mapping[str, Any]) -> dict[str, bytes]:
        """All files of a finished cell by name, the records checked against their digests."""
        cell_id = validate_name(result["cell_id"])
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
        path = f"cells/{validate_name(cell_id)}/{validate_name(name)}"
        data = self._read(path)
        expected = result["records"].get(name)
        if expected and hashlib.sha256(data).hexdigest() != expected["sha256"]:
            raise StoreError(f"{self._full(path)}: {_altered(cell_id)}")
        return data

    # What lies beside a result --------------------------------------------------------------------

    def write_side_file(self, cell_id: str, name: SideFile, data: bytes) -> None:
        """Write a file beside a cell's result, atomically."""
        self._write(f"cells/{validate_name(cell_id)}/{name}", data)

    def read_side_file(self, cell_id: str, name: SideFile) -> bytes | None:
        """Read a file beside a cell's result; None where there is none."""
        try:
            return self._read(f"cells/{validate_name(cell_id)}/{name}")
        except MissingFileError:
            return None

    def delete_side_file(self, cell_id: str, name: SideFile) -> None:
        """Remove a file beside a cell's result, if it is there."""
        self._remove(f"cells/{validate_name(cell_id)}/{name}")

    def clear_outcome(self, cell_id: str, *, keep_lost: bool = False) -> None:
        """Forget how a cell has ended, so that it is run again; its checkpoint stays.

        Args:
            cell_id: which cell.
            keep_lost: go on counting how many times it was lost.
        """
        names = ["result.json", "failure.json", *([] if keep_lost else ["lost.json"])]
        for name in names:
            self._remove(f"cells/{validate_name(cell_id)}/{name}")

    def write_content(self, key: str, name: str, content: Mapping[str, Any]) -> None:
        """Save what a trial found in data that its id names by their last part only."""
        self._write(
            f"contents/{validate_name(key)}/{validate_name(name)}.json", json_bytes(content)
        )

    def contents(self, key: str) -> dict[str, dict[str, Any]]:
        """Read what trials found in the data of a key, by path in the store."""
        below = [
            path[len(self.root) + 1 :] for path in self._find(f"contents/{validate_name(key)}")
        ]
        return {path: self._read_json(path) for path in below if path.endswith(".json")}

    def drop_content(self, key: str, name: str) -> None:
        """Remove what a trial found in the data of a key."""
        self._remove(f"contents/{validate_name(key)}/{validate_name(name)}.json")

    # Files ----------------------------------------------------------------------------------------

    def write_file(self, path: str, data: bytes) -> None:
        """Write a file of a copied store (`pipeline.tracking.client.download`), atomically."""
        self._write("/".join(validate_name(part) for part in path.split("/")), data)


def _altered(cell_id: str) -> str:
    return (
        "not the file that was written (its digest differs); delete the folder of cell "
        f"{cell_id} and run the sweep again to compute it anew"
    )


def parquet_bytes(table: pyarrow.Table) -> bytes:
    """Encode a record table: dictionary strings, zstd, the schema version in its metadata."""
    import pyarrow.parquet

    sink = io.BytesIO()
    metadata = {**(table.schema.metadata or {}), b"normscope_schema": str(SCHEMA).encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    return sink.getvalue()


def _cells_with(file: str, paths: Iterable[str]) -> set[str]:
    return {path.rsplit("/", 2)[-2] for path in paths if path.endswith("/" + file)}
