"""Check the files of a run in MLflow by their SHA-256 digests.

A cell's result contains the digests of its record files; the run's tag has that of the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.store import Store
from pipeline.tracking.relocation import TrackingError
from pipeline.tracking.runs import CELL, artifact_files

DIGEST = "result_sha256"
"""The tag that says of which result (or failure) a run is the mirror."""
_ENDINGS = ("result.json", "failure.json")


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 digest."""
    return hashlib.sha256(data).hexdigest()


def ending_digests(store: Store, cell_ids: Sequence[str]) -> dict[str, str]:
    """By ended cell, the digest of its result or failure."""
    standing = store.cell_states()
    ended = [cell for cell in cell_ids if cell in standing.finished or cell in standing.failed]
    return {cell_id: sha256(store.ending_bytes(cell_id)) for cell_id in ended}


def is_mirror(client: MlflowClient, run: Run, ending: str | None) -> bool:
    """Whether a run has the result of this digest, and every file of it byte for byte."""
    if ending is None or run.data.tags.get(DIGEST) != ending:
        return False
    try:
        verified_files(client, run)
    except TrackingError:
        return False
    return True


def verified_files(client: MlflowClient, run: Run) -> dict[str, bytes]:
    """Read a run's files by name.

    Raises:
        TrackingError: if a file is absent, or differs from what the trial wrote.
    """
    files = artifact_files(client, run.info.run_id, CELL)
    differing = _differing(files, run.data.tags.get(DIGEST, ""))
    if differing:
        cell_id = run.data.tags["cell_id"]
        raise TrackingError(
            f"cell {cell_id}: {differing} of run {run.info.run_id} is damaged or absent in MLflow; "
            "run the sweep's file with --sync to replace it"
        )
    return files


def _differing(files: Mapping[str, bytes], ending: str) -> str | None:
    """The first file that is absent, unknown, or has another digest than the result gives it."""
    name = next((each for each in _ENDINGS if each in files), _ENDINGS[0])
    if sha256(files.get(name, b"")) != ending:
        return name
    records = json.loads(files[name]).get("records", {})
    for record in sorted({*records, *files} - {name}):
        if record not in records or record not in files:
            return record
        if sha256(files[record]) != records[record]["sha256"]:
            return record
    return None
