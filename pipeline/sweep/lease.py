"""One driver a sweep: a file in the store that beats while a driver runs.

Two drivers of one sweep would run every cell twice, side by side. The second one says who is at
work, and stops. A driver that is gone is known by its silence, or at once if it was of this host.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.spec.read import SCHEMA
from pipeline.store.store import Store, StoreError

BEAT = 15.0
"""Seconds between two beats."""
_SILENCE = 6 * BEAT
"""Seconds without a beat after which a driver on another host is taken for gone."""


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

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within it, this driver is the one that runs the sweep.

        Raises:
            ValueError: if another one is running it; the message says which.
        """
        self._refuse_another()
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

        Raises:
            ValueError: if another driver has claimed the sweep meanwhile.
        """
        self._refuse_another()

    def _keep_beating(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT):
            if self._is_own():
                with suppress(StoreError):  # a full disk ends no sweep that runs elsewhere
                    self._beat()

    def _beat(self) -> None:
        self._store.write_lease(self._sweep, {**self._own, "time": time.time()})

    def _is_own(self) -> bool:
        found = self._store.lease(self._sweep)
        return found is None or found["id"] == self._own["id"]

    def _refuse_another(self) -> None:
        found = self._store.lease(self._sweep)
        if found is not None and found["id"] != self._own["id"] and is_running(found):
            raise ValueError(f"{self._sweep}: {said(found)}; wait for it, or stop it")


def said(lease: Mapping[str, Any]) -> str:
    """Who is at work, in words."""
    silence = max(0, round(time.time() - lease["time"]))
    return f"is being run by process {lease['pid']} on {lease['host']} (seen {silence} s ago)"


def is_running(lease: Mapping[str, Any]) -> bool:
    """Whether a lease's driver is still there."""
    if lease["host"] == platform.node():
        return _born(lease["pid"]) == lease["born"] is not None
    return time.time() - lease["time"] < _SILENCE


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
