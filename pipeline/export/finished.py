"""What an export has of a finished cell: its settings, its final numbers and its curves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.store import Store
from pipeline.tracking.payload import parameters, points, run_name

_FINAL = "final/"


@dataclass(frozen=True)
class Finished:
    """A finished cell, with the keys that its MLflow run has."""

    cell_id: str
    digest: str
    """SHA-256 of the cell's result: a cell that has run again has another one."""
    name: str
    """``batch · resnet14 · lr 0.1 · s0 · RUN_ID``."""
    settings: dict[str, Any]
    """By dotted key (``training.lr``)."""
    labels: dict[str, Any]
    status: str
    final: dict[str, float]
    """By key (``final/test_accuracy``): the numbers of the whole run."""
    curves: dict[int, dict[str, float]]
    """By step, ascending, then by key (``training/train_loss``)."""

    @property
    def run_id(self) -> str:
        """The id of the exported run: of the cell, and of this result of it."""
        return run_id(self.cell_id, self.digest)


def run_id(cell_id: str, digest: str) -> str:
    """The id of the run of a cell's result."""
    return f"{cell_id}-{digest[:8]}"


def digests(store: Store, sweep: str) -> dict[str, str]:
    """Digests of the results of the sweep's finished cells, by cell in the plan's order.

    Raises:
        StoreError: if the store has no such sweep, or a file is missing.
    """
    planned, done = store.plan(sweep)["cells"], store.finished()
    return {each: _digest(store.ending_bytes(each)) for each in planned if each in done}


def read(store: Store, cell_id: str) -> Finished:
    """Read all files of a finished cell.

    Raises:
        StoreError: if one is damaged.
    """
    result = store.result(cell_id)
    files = store.files(result)
    return _made(result, files, _digest(files["result.json"]))


def _digest(result: bytes) -> str:
    return hashlib.sha256(result).hexdigest()


def _made(result: Mapping[str, Any], files: Mapping[str, bytes], digest: str) -> Finished:
    final: dict[str, float] = {}
    curves: dict[int, dict[str, float]] = {}
    for key, value, step in points(result, files):
        own = final if key.startswith(_FINAL) else curves.setdefault(step, {})
        own[key] = value
    return Finished(
        cell_id=result["cell_id"],
        digest=digest,
        name=f"{run_name(result['labels'])} · {run_id(result['cell_id'], digest)}",
        settings=dict(parameters(result)),
        labels=dict(result["labels"]),
        status=result["status"],
        final=final,
        curves=dict(sorted(curves.items())),
    )
