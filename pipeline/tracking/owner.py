"""Whose runs MLflow has: a store that was copied has the id of the other, and so its runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.cli import SQLITE, redact
from pipeline.store import Store, StoreError
from pipeline.tracking.relocation import TrackingError


def owner_tag(uri: str, store: Store, tags: Mapping[str, str]) -> dict[str, str]:
    """The tag of an experiment that says where a store of this id is, which is noted there too.

    Of two copies of a store that is gone, each would take itself for the one that was moved: the
    tag tells. A database within the store was copied along with it, and knows nothing of the other.

    Args:
        tags: what the experiment has now.

    Raises:
        TrackingError: if another place has a store of the same id.
    """
    key, place = f"normscope.place.{store.store_id}", redact(store.uri)
    twin = store.twin() or store.twin_at(tags.get(key))
    if twin is None:
        with suppress(StoreError):  # of a store that cannot be written: it stays as it is
            store.settle()
    elif not _is_within(uri, store):
        raise TrackingError(
            f"{place}: has the id of the store in {twin}, one is a copy of the other, and MLflow "
            "would take their runs for the same; to make this one a store of its own: delete "
            f"{place}/store.json"
        )
    return {key: place}


def _is_within(uri: str, store: Store) -> bool:
    file = Path(uri.removeprefix(SQLITE))
    return uri.startswith(SQLITE) and file.resolve().is_relative_to(Path(store.uri).resolve())
