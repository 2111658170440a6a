"""Whose runs MLflow has: a store that was copied has the id of the other, and so its runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pipeline.cli.options import SQLITE
from pipeline.cli.redaction import redact
from pipeline.store.store import Store, StoreError
from pipeline.tracking.relocation import TrackingError


def own_the_id(uri: str, store: Store) -> None:
    """Make sure that no other store has this one's id in the same MLflow, and note its place.

    A database within the store was copied along with it, and knows nothing of the other.

    Raises:
        TrackingError: if another place has a store of the same id.
    """
    twin = store.twin()
    if twin is None:
        with suppress(StoreError):  # of a store that cannot be written: it stays as it is
            store.settle()
    elif not _is_within(uri, store):
        raise TrackingError(
            f"{redact(store.uri)}: has the id of the store in {twin}, one is a copy of the other, "
            "and MLflow would take their runs for the same; to make this one a store of its own: "
            f"delete {redact(store.uri)}/store.json"
        )


def _is_within(uri: str, store: Store) -> bool:
    file = Path(uri.removeprefix(SQLITE))
    return uri.startswith(SQLITE) and file.resolve().is_relative_to(Path(store.uri).resolve())
