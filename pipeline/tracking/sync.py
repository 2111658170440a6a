"""Keep MLflow in step with a sweep's store: at its end, and when asked to.

Whatever tracking does, results are safe in the store and the sweep goes on.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pipeline.cli.errors import print_error
from pipeline.spec.read import Sweep
from pipeline.store.store import Store

_SQLITE = "sqlite:///"


def complete(sweep: Sweep, store: Store, uri: str) -> None:
    """Mirror what MLflow has missed, unless nothing has changed since that was last done."""
    digest = _digest(sweep, store, uri)
    if store.mirrored(sweep.name) == digest and not _is_gone(uri):
        return
    from pipeline.tracking import client as tracking

    try:
        tracking.prepare(uri, sweep.name, sweep.description)
        tracking.complete(uri, sweep.name, store, [cell.cell_id for cell in sweep.cells])
        store.write_mirrored(sweep.name, digest)
    except Exception as error:  # the store behind a URI may raise anything
        print_error(f"tracking is incomplete, --sync makes up for it: {error}")


def sync(sweep: Sweep, store: Store, uri: str) -> str:
    """Make MLflow say exactly what the store says; gives what that took, in words.

    Raises:
        ValueError: if MLflow cannot be used.
    """
    from pipeline.tracking import client as tracking

    tracking.prepare(uri, sweep.name, sweep.description)
    changes = tracking.sync(uri, sweep.name, store, [cell.cell_id for cell in sweep.cells])
    store.write_mirrored(sweep.name, _digest(sweep, store, uri))
    return ", ".join(f"{count} runs {what}" for what, count in changes.items())


def _digest(sweep: Sweep, store: Store, uri: str) -> str:
    """Of where MLflow is and of all that it has to know."""
    standing = store.standing()
    ends = [
        [cell.cell_id, cell.cell_id in standing.finished, cell.cell_id in standing.failed]
        for cell in sweep.cells
    ]
    return hashlib.sha256(json.dumps([uri, sweep.description, ends]).encode()).hexdigest()


def _is_gone(uri: str) -> bool:
    return uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists()
