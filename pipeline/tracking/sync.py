"""Keep MLflow in step with a sweep's store: at its end, and when asked to.

Whatever tracking does, results are safe in the store and the sweep goes on.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pipeline.cli import SQLITE, print_error
from pipeline.spec import Sweep
from pipeline.store import Store


def mirror_missing(sweep: Sweep, store: Store, uri: str) -> None:
    """Mirror what MLflow has missed, unless nothing has changed since that was last done."""
    digest = _digest(sweep, store, uri)
    if store.mirrored(sweep.name) == digest and not _is_gone(uri):
        return
    from pipeline.tracking import client as tracking

    try:
        tracking.prepare(uri, sweep.name, sweep.description, store)
        tracking.mirror_missing(uri, sweep.name, store, store.planned_cells(sweep.name))
        store.write_mirrored(sweep.name, digest)
    except Exception as error:  # the store behind a URI may raise anything
        print_error(f"some runs are missing in MLflow; run again with --sync to add them: {error}")


def sync(sweep: Sweep, store: Store, uri: str) -> str:
    """Bring MLflow in sync with the store; gives what was done and checked, in a sentence.

    Raises:
        ValueError: if MLflow cannot be used.
    """
    from pipeline.tracking import client as tracking

    tracking.prepare(uri, sweep.name, sweep.description, store)
    changes = tracking.sync(uri, sweep.name, store, store.planned_cells(sweep.name))
    store.write_mirrored(sweep.name, _digest(sweep, store, uri))
    return (
        f"MLflow is in sync with the store: {changes.created} runs created, {changes.superseded} "
        f"superseded; {changes.checked} runs checked by the SHA-256 digests of their files"
    )


def _digest(sweep: Sweep, store: Store, uri: str) -> str:
    """Of where MLflow is and of all that it has to know, of all plans of the sweep's name."""
    standing = store.cell_states()
    plans = sorted(store.plans_of(sweep.name, standing.finished), key=lambda plan: plan.plan_id)
    cells = sorted({cell for plan in plans for cell in plan.cells})
    ends = [[cell, cell in standing.finished, cell in standing.failed] for cell in cells]
    # A plan alone is not run again for its time; of several the time decides which is shown.
    runs = [[p.plan_id, p.time, list(p.changes)] for p in plans] if len(plans) > 1 else []
    known = [uri, store.store_id, sweep.description, ends, runs]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _is_gone(uri: str) -> bool:
    return uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists()
