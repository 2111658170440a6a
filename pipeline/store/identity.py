"""A store's own id, by which MLflow knows its runs, and whether a store is a copy of another."""

from __future__ import annotations

import os
from functools import cached_property
from uuid import uuid4

from fsspec.implementations.local import LocalFileSystem

from pipeline.cli import redact
from pipeline.store.filesystem import SCHEMA, Files, StoreError, json_bytes

_FILE = "store.json"


class Identity(Files):
    """Files at a root that know which store they are."""

    @cached_property
    def store_id(self) -> str:
        """The store's own id, made when it is first asked for; a store that is moved keeps it."""
        if not self._exists(_FILE):
            self._write_once(_FILE, _identity(uuid4().hex[:12], self.uri))
        return self._read_json(_FILE)["id"]

    def write_identity(self, store_id: str) -> None:
        """Give a copied store the id of the one that it is a copy of."""
        self._write(_FILE, _identity(store_id, None))

    def twin(self) -> str | None:
        """Where the place that the id was given for still has it: one of the two is a copy.

        None where it is this place, under whatever path, or where nothing of that id is there now:
        the store was moved.
        """
        return self.twin_at(self._place())

    def twin_at(self, place: str | None) -> str | None:
        """The place, if another store there has this one's id; see `twin`."""
        if place is None or place == redact(self.uri):
            return None
        try:
            other = Identity(place)
            known = other.store_id if other._exists(_FILE) else None
        except StoreError:  # it cannot be seen from here
            return None
        return place if known == self.store_id and not _is_same(self, other) else None

    def settle(self) -> None:
        """Note that the store is here now."""
        if self._place() != redact(self.uri):
            self._write(_FILE, _identity(self.store_id, self.uri))

    def _place(self) -> str | None:
        _ = self.store_id
        return self._read_json(_FILE).get("place")


def _is_same(one: Files, other: Files) -> bool:
    """Whether two paths lead to one folder: links, mounts."""
    if not all(isinstance(each.filesystem, LocalFileSystem) for each in (one, other)):
        return False
    return os.path.samefile(one.root, other.root)


def _identity(store_id: str, place: str | None) -> bytes:
    known = {"schema": SCHEMA, "id": store_id}
    return json_bytes(known if place is None else known | {"place": place})
