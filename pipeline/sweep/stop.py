"""The end of a sweep in good order: running cells save checkpoints, and no other cell starts.

SIGTERM, a request in the store (``--stop``) and a used-up budget ask for it. The driver hands the
request on to its workers on all nodes through Ray's key-value store.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ray.experimental.internal_kv import _internal_kv_exists, _internal_kv_put

from pipeline.cli import on_terminate, print_error
from pipeline.store import Store, StoreError
from pipeline.sweep.on_ray.remote_budget import RemoteBudget

_EVERY = 1.0
"""Seconds between two looks at the causes that cost nothing."""
_STORE_EVERY = 5.0
"""Seconds between two looks at the store."""
GRACE = 120.0
"""Seconds that running cells have to save their checkpoints."""

Cause = Callable[[], str]
"""Why to stop; empty: go on."""


def requested_in_workers(lease: str) -> bool:
    """Whether the driver with a lease has asked its cells to end; called in a worker."""
    return _internal_kv_exists(_key(lease))


def _key(lease: str) -> bytes:
    return f"normscope-stop-{lease}".encode()


class Stop:
    """The driver's side: whether the sweep has to end early, why, and whether it may end now."""

    def __init__(self, lease: str, asked: Cause, budget: RemoteBudget | None = None) -> None:
        self._lease, self._asked, self._budget = lease, asked, budget
        self._running: set[str] = set()
        self._terminated, self._since = False, 0.0
        self.reason = ""
        """Why the sweep ends early; empty: it does not."""
        self.is_by_budget = False

    def started(self, cell_id: str) -> None:
        """A cell has started on some worker."""
        self._running.add(cell_id)

    def ended(self, cell_id: str, status: str) -> None:
        """A cell has ended, with whatever status."""
        self._running.discard(cell_id)
        if self._budget is not None:
            self._budget.ended(cell_id, status)

    def is_over(self) -> bool:
        """Whether the sweep has to end, and no cell runs any more or the time for that is over."""
        waited = time.monotonic() - self._since
        return bool(self.reason) and (not self._running or waited > GRACE)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Context manager in which a thread looks for a cause, and SIGTERM is one."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=[over], daemon=True)
        with on_terminate(self._terminate):
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()

    def _terminate(self) -> None:
        self._terminated = True

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_EVERY):
            asked = "SIGTERM" if self._terminated else self._asked()
            used_up = "" if asked or self._budget is None else self._budget.cause()
            if asked or used_up:
                _internal_kv_put(_key(self._lease), b"1")
                text = f"{asked or used_up}: running cells save checkpoints and end"
                print(text, file=sys.stderr)
                self._since, self.is_by_budget = time.monotonic(), bool(used_up)
                self.reason = asked or used_up
                return


def request_in_store(store: Store, key: str, lease: str) -> Cause:
    """Cause to stop: somebody has asked for it by ``--stop``."""
    looked = time.monotonic()

    def ask() -> str:
        nonlocal looked
        if time.monotonic() - looked < _STORE_EVERY:
            return ""
        looked = time.monotonic()
        try:
            return "--stop" if store.is_stop_requested(key, lease) else ""
        except StoreError as error:  # one look of many
            print_error(error)
            return ""

    return ask
