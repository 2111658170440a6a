"""One driver a sweep: a file in the store that beats while a driver runs.

Two drivers of one sweep would run every cell twice, side by side. The second one says who is at
work, and stops. Of this host, a driver that is gone is known at once. Of another host, as after a
job was requeued elsewhere, it is known by a file that does not change for a while: the clocks of
two hosts may differ by any amount, and are never compared.
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

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store, StoreError

BEAT = 15.0
"""Seconds between two beats."""
SILENCE = 6 * BEAT
"""Seconds without a beat after which a driver on another host is taken for gone."""
_LOOK = 1.0
"""Seconds between two looks at the file of another host's driver."""


class Lease:
    """This process's claim to run a sweep."""

    def __init__(self, store: Store, sweep: str) -> None:
        self._store, self._sweep = store, sweep
        self._own = {
            "schema": SCHEMA,
            "id": uuid4().hex,
            "host": platform.node(),
            "pid": os.getpid(),
            "born": _born(os.getpid()),
        }
        self._beats = 0

    @property
    def id(self) -> str:
        """What no other driver's lease has."""
        return self._own["id"]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within it, this driver is the one that runs the sweep.

        Raises:
            ValueError: if another one is running it; the message says which.
        """
        if (found := self._another()) is not None:
            _wait_for_silence(self._store, self._sweep, found)
        self._beat()
        stop = threading.Event()
        beating = threading.Thread(target=self._keep_beating, args=[stop], daemon=True)
        beating.start()
        try:
            yield
        finally:
            stop.set()
            beating.join()
            if self._is_own():
                self._store.drop_lease(self._sweep)

    def confirm(self) -> None:
        """Look again, some time after claiming: of two that claimed at once, the later has it.

        Whoever has written the file since then is at work.

        Raises:
            ValueError: if another driver has claimed the sweep meanwhile.
        """
        if (found := self._another()) is not None:
            raise ValueError(_refusal(self._sweep, found))

    def _keep_beating(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT):
            with suppress(StoreError):  # a full disk ends no sweep that runs elsewhere
                if self._is_own():
                    self._beat()

    def _beat(self) -> None:
        self._beats += 1
        beat = {"beat": self._beats, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        self._store.write_lease(self._sweep, {**self._own, **beat})

    def _is_own(self) -> bool:
        found = self._store.lease(self._sweep)
        return found is None or found["id"] == self._own["id"]

    def _another(self) -> dict[str, Any] | None:
        """The lease of another driver, unless that is known to be gone."""
        found = self._store.lease(self._sweep)
        if found is None or found["id"] == self._own["id"] or is_running(found) is False:
            return None
        return found


def _wait_for_silence(store: Store, sweep: str, found: Mapping[str, Any]) -> None:
    """Wait until a driver has been silent for long enough to be taken for gone.

    Raises:
        ValueError: as soon as the file changes, which only a running driver does; or at once, if
            the driver is of this host.
    """
    if is_running(found):
        raise ValueError(_refusal(sweep, found))
    print(
        f"{sweep}: process {found['pid']} on {found['host']} may still be running it; "
        f"waiting up to {SILENCE:g} s for its heartbeat",
        file=sys.stderr,
    )
    deadline = time.monotonic() + SILENCE
    while time.monotonic() < deadline:
        time.sleep(_LOOK)
        seen = store.lease(sweep)
        if seen is None:  # it has ended in good order
            return
        if seen != found:
            raise ValueError(_refusal(sweep, seen))
    print(f"{sweep}: no heartbeat, it is gone", file=sys.stderr)


def _refusal(sweep: str, lease: Mapping[str, Any]) -> str:
    who = f"process {lease['pid']} on {lease['host']}"
    return f"{sweep}: is being run by {who}; wait for it, or stop it"


def describe(lease: Mapping[str, Any] | None) -> str:
    """Who is at work, in words."""
    running = None if lease is None else is_running(lease)
    if lease is None or running is False:
        return "nobody is running it now"
    who = f"process {lease['pid']} on {lease['host']}"
    if running:
        return f"it is being run by {who}"
    return f"last run by {who}, which may be at work (its heartbeat: {lease['time']}, its clock)"


def is_running(lease: Mapping[str, Any]) -> bool | None:
    """Whether a lease's driver is still there; None for one of another host, unknown from here."""
    if lease["host"] != platform.node():
        return None
    return _born(lease["pid"]) == lease["born"] is not None


def _born(pid: int) -> str | None:
    """When a process of this host was started, in ticks of its clock; None if there is none."""
    try:
        if not Path("/proc/self/stat").exists():  # not Linux: that it is there must do
            os.kill(pid, 0)
            return "at some time"
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]
