"""Notes that drivers keep in a store: leases, requests to stop, and what MLflow mirrors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.store.filesystem import (
    SCHEMA,
    MissingFileError,
    StoreError,
    json_bytes,
    validate_name,
)
from pipeline.store.plans import Plans

_SHARD = re.compile(r"\d{1,9}-of-\d{1,9}")


class DriverNotes(Plans):
    """The notes of a store's drivers, beside its plans."""

    def write_lease(self, key: str, lease: Mapping[str, Any]) -> None:
        """Save which driver is running a sweep (its name), or a shard (``name/1-of-4``)."""
        self._write(_path_of_key("leases", key), json_bytes(lease))

    def lease(self, key: str) -> dict[str, Any] | None:
        """Read which driver is running a sweep or a shard; None where none, or a damaged one, is.

        Raises:
            StoreError: if the store cannot be read, which says nothing of a driver.
        """
        return self._read_note(_path_of_key("leases", key))

    def lease_keys(self, sweep: str) -> list[str]:
        """The sweep's own key and those of its shards, as far as they have leases, sorted."""
        own, start = validate_name(sweep), f"{self._full('leases')}/"
        paths = (path.partition(start)[2] for path in self._find("leases"))
        keys = (path.removesuffix(".json") for path in paths if path.endswith(".json"))
        return sorted(key for key in keys if key.partition("/")[0] == own)

    def drop_lease(self, key: str) -> None:
        """Remove the lease of a sweep or a shard, if it is there."""
        self._remove(_path_of_key("leases", key))

    def write_stop(self, key: str, lease_id: str) -> None:
        """Ask the driver that holds a lease to stop."""
        self._write(_path_of_key("stops", key), json_bytes({"schema": SCHEMA, "id": lease_id}))

    def is_stop_requested(self, key: str, lease_id: str) -> bool:
        """Whether the driver that holds a lease is asked to stop."""
        found = self._read_note(_path_of_key("stops", key))
        return found is not None and found["id"] == lease_id

    def drop_stop(self, key: str) -> None:
        """Remove a request to stop, if it is there."""
        self._remove(_path_of_key("stops", key))

    def _read_note(self, path: str) -> dict[str, Any] | None:
        """Read a small file; None where there is none, or a damaged one."""
        try:
            data = self._read(path)
        except MissingFileError:
            return None
        try:
            return self._parsed(path, data)
        except StoreError:
            return None

    def write_mirrored(self, sweep: str, digest: str) -> None:
        """Save of which state of a sweep tracking is the mirror."""
        self._write(
            f"mirrored/{validate_name(sweep)}.json",
            json_bytes({"schema": SCHEMA, "digest": digest}),
        )

    def mirrored(self, sweep: str) -> str | None:
        """Read of which state of a sweep tracking is the mirror; None where it is of none."""
        try:
            return self._read_json(f"mirrored/{validate_name(sweep)}.json")["digest"]
        except StoreError:
            return None


def _path_of_key(folder: str, key: str) -> str:
    """The file of a sweep (``name``) or of a shard of it (``name/1-of-4``)."""
    name, _, shard = key.rpartition("/")
    if _SHARD.fullmatch(shard):
        return f"{folder}/{validate_name(name)}/{shard}.json"
    return f"{folder}/{validate_name(key)}.json"
