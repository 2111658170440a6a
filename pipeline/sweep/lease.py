"""One driver a sweep: a file in the store that beats while a driver runs.

Two drivers of one sweep would run every cell twice, side by side. The second one says who is at
work, and stops. Of this host, a driver that is gone is known at once. Of another host or container,
as after a job was requeued elsewhere, it is known by a file that does not change for a while: the
clocks of two hosts may differ by any amount, and are never compared.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.store import SCHEMA, Store, StoreError
from pipeline.sweep.shard import Shard, exclude_each_other, lease_key

HEARTBEAT_SECONDS = 15.0
"""Seconds between two beats."""
SILENCE = 6 * HEARTBEAT_SECONDS
"""Seconds without a beat after which a driver on another host is taken for gone."""
_LOOK = 1.0
"""Seconds between two looks at the file of another host's driver."""


class Lease:
    """This process's claim to run a sweep, or a shard of it."""

    def __init__(self, store: Store, sweep: str, shard: Shard | None = None) -> None:
        self._store, self._sweep, self.key = store, sweep, lease_key(sweep, shard)
        self._own = {
            "schema": SCHEMA,
            "id": uuid4().hex,
            "host": platform.node(),
            "pid_space": _pid_space(),
            "pid": os.getpid(),
            "born": _process_start_time(os.getpid()),
        }
        self._beats = 0
        self._gone: set[str] = set()
        self._taken_by: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """What no other driver's lease has."""
        return self._own["id"]

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Within it, this driver is the one that runs the sweep.

        Raises:
            ValueError: if another one is running it; the message says which.
        """
        rivals = self._rivals()
        _wait_for_silence(self._store, rivals)
        self._gone |= {lease["id"] for lease in rivals.values()}
        self._store.drop_stop(self.key)  # of an earlier driver
        self._beat()
        stop = threading.Event()
        beating = threading.Thread(target=self._keep_beating, args=[stop], daemon=True)
        beating.start()
        try:
            yield
        finally:
            stop.set()
            beating.join()
            if self._is_own(self._store.lease(self.key)):
                self._store.drop_lease(self.key)
                self._store.drop_stop(self.key)

    def verify_owner(self) -> None:
        """Look again, some time after claiming: of two that claimed at once, the later has it.

        Whoever has written the file since then is at work.

        Raises:
            ValueError: if another driver has claimed the sweep meanwhile.
        """
        for key, found in self._rivals().items():
            raise ValueError(_refusal(key, found))

    def taken_over(self) -> str:
        """Who runs the sweep instead, since this driver was silent for too long; empty: nobody."""
        return "" if self._taken_by is None else f"{_who(self._taken_by)} has taken {self.key} over"

    def _keep_beating(self, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            with suppress(StoreError):  # a full disk ends no sweep that runs elsewhere
                found = self._store.lease(self.key)
                if self._is_own(found):
                    self._beat()
                else:
                    self._taken_by = found

    def _beat(self) -> None:
        self._beats += 1
        beat = {"beat": self._beats, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        self._store.write_lease(self.key, {**self._own, **beat})

    def _is_own(self, found: Mapping[str, Any] | None) -> bool:
        return found is None or found["id"] == self.id

    def _rivals(self) -> dict[str, dict[str, Any]]:
        """Leases, by key, of others that could run our cells, unless they are known to be gone."""
        keys = {*self._store.lease_keys(self._sweep), self.key}
        found = {k: self._store.lease(k) for k in sorted(keys) if exclude_each_other(self.key, k)}
        return {key: lease for key, lease in found.items() if lease and self._is_rival(lease)}

    def _is_rival(self, lease: Mapping[str, Any]) -> bool:
        return lease["id"] not in (self._own["id"], *self._gone) and is_alive(lease) is not False


def _wait_for_silence(store: Store, rivals: Mapping[str, Mapping[str, Any]]) -> None:
    """Wait until drivers have been silent for long enough to be taken for gone.

    Args:
        store: which has their leases.
        rivals: leases by key.

    Raises:
        ValueError: as soon as a lease changes, which only a running driver does; or at once, if
            a driver is of this host.
    """
    for key, found in rivals.items():
        if is_alive(found):
            raise ValueError(_refusal(key, found))
        print(
            f"{key}: process {found['pid']} on {found['host']} may still be running it; "
            f"waiting up to {SILENCE:g} s for its heartbeat",
            file=sys.stderr,
        )
    deadline, waiting = time.monotonic() + SILENCE, dict(rivals)
    while waiting and time.monotonic() < deadline:
        time.sleep(_LOOK)
        seen = {key: store.lease(key) for key in waiting}
        for key, lease in seen.items():
            if lease is not None and lease != rivals[key]:
                raise ValueError(_refusal(key, lease))
        waiting = {key: rivals[key] for key, lease in seen.items() if lease is not None}
    for key in waiting:
        print(f"{key}: no heartbeat, it is gone", file=sys.stderr)


def _refusal(key: str, lease: Mapping[str, Any]) -> str:
    return f"{key}: is being run by {_who(lease)}; wait for it, or stop it"


def _who(lease: Mapping[str, Any]) -> str:
    return f"process {lease['pid']} on {lease['host']}"


def describe(lease: Mapping[str, Any] | None) -> str:
    """Who is at work, in words."""
    running = None if lease is None else is_alive(lease)
    if lease is None or running is False:
        return "nobody is running it now"
    who = _who(lease)
    if running:
        return f"it is being run by {who}"
    return f"last run by {who}, which may be at work (its heartbeat: {lease['time']}, its clock)"


def is_alive(lease: Mapping[str, Any]) -> bool | None:
    """Whether a lease's driver is still there; None if its process cannot be seen from here.

    That is so on another host, and in another container of this host.
    """
    if (lease["host"], lease.get("pid_space")) != (platform.node(), _pid_space()):
        return None
    return _process_start_time(lease["pid"]) == lease["born"] is not None


def _pid_space() -> str:
    """Where this process's pid means something: the boot of the kernel, and the PID namespace.

    A host's name is not enough: containers may share it, and so may machines of two networks.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return ""


def _process_start_time(pid: int) -> str | None:
    """When a process of this host was started, in ticks of its clock; None if there is none."""
    try:
        if not Path("/proc/self/stat").exists():  # not Linux: that it is there must do
            os.kill(pid, 0)
            return "at some time"
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]
