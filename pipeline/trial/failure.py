"""What the store keeps of a trial that gave no result: which cell, what was raised, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pipeline.cli import redact
from pipeline.spec import Cell
from pipeline.store import SCHEMA


def describe_failure(cell: Cell, error: str, trace: str) -> dict[str, Any]:
    """The content of ``failure.json`` or ``lost.json``, without secrets.

    Args:
        cell: whose trial it was.
        error: what happened, in one line.
        trace: the same at length.
    """
    return {
        "schema": SCHEMA,
        "cell_id": cell.cell_id,
        "labels": cell.labels,
        "error": redact(error),
        "traceback": redact(trace),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
