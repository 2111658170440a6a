"""A process beside the driver that mirrors cells to MLflow while others train.

No slot waits for MLflow, and no worker imports it: to make a run takes about 70 ms, which is 3 % of
a cell of two seconds. The driver names each cell that has ended on this process's standard input
and goes on at once, however long the server takes. If the driver goes away, so does this process,
after the run that it is making: nothing is left RUNNING, and the next run mirrors the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from pipeline.cli import print_error
from pipeline.spec import Cell, Resources, Sweep
from pipeline.store import Store
from pipeline.tracking import sync

_COMPLETE = "complete"
"""The word after which what is missing is made up for, and no more cells come."""
_PAUSE = 60.0
"""Seconds to let MLflow be after it failed."""
_FAREWELL = 30.0
"""Seconds that an interrupted driver gives this process to end its run."""
_NICENESS = 10
"""Training comes first."""


class Mirror:
    """The driver's end: says what there is to mirror, and waits for nothing."""

    def __init__(self, words: IO[str] | None) -> None:
        self._words = words

    def ended(self, cell_id: str, status: str) -> None:
        """Have the run of an ended cell made; one that is lost or stopped has none."""
        if status not in ("lost", "stopped"):
            self._say(f"{cell_id} {status}")

    def complete(self) -> None:
        """Have all that is missing made; leaving the context waits for it."""
        self._say(_COMPLETE)

    def _say(self, words: str) -> None:
        if self._words is not None:
            with suppress(OSError):  # it is gone; leaving the context says so
                print(words, file=self._words, flush=True)


@contextmanager
def mirror_subprocess(plan: tuple[str, str], store: Store, uri: str | None) -> Iterator[Mirror]:
    """Within it, a process mirrors a sweep whose plan is in the store (none if ``uri`` is None).

    The plan is given as the sweep's name and its id. What the process prints goes to standard
    error.
    """
    if uri is None:
        yield Mirror(None)
        return
    with _started() as process:
        relay = threading.Thread(target=_relay, args=[process.stderr], daemon=True)
        relay.start()
        mirror = Mirror(process.stdin)
        mirror._say(json.dumps([*plan, store.uri, uri]))
        try:
            yield mirror
            _close(process)
            if process.wait() != 0:
                print(
                    "some runs are missing in MLflow; run again with --sync to add them",
                    file=sys.stderr,
                )
        finally:
            _close(process)
            _terminate(process)
            relay.join()


def _started() -> subprocess.Popen[str]:
    """The process, out of reach of the terminal's Ctrl-C: the driver says when to end."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.tracking.worker"],
        # MLflow prints emoji, which a terminal of another encoding has no bytes for.
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def _relay(output: IO[str]) -> None:
    """Print here what is said there: the live view knows where."""
    for line in output:
        print(line, end="", file=sys.stderr)


def _close(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()


def _terminate(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(_FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()


class _CircuitBreaker:
    """Calls MLflow, and lets it be for a while after it failed."""

    def __init__(self) -> None:
        self._failed_at: float | None = None

    def call(self, action: Callable[[], None]) -> bool:
        """Whether the action was done; the first failure of several in a row is told."""
        now = time.monotonic()
        if self._failed_at is not None and now - self._failed_at < _PAUSE:
            return False
        try:
            action()
        except Exception as error:  # the store behind a URI may raise anything
            if self._failed_at is None:
                print_error(f"tracking is off for now: {error}")
            self._failed_at = time.monotonic()
            return False
        self._failed_at = None
        return True


def main() -> None:
    """Mirror the cells that standard input names."""
    _lower_priority()
    name, plan_id, storage, uri = json.loads(sys.stdin.readline())
    words: SimpleQueue[str] = SimpleQueue()
    gone = threading.Event()
    threading.Thread(target=_listen, args=[words, gone], daemon=True).start()
    store = Store(storage)
    try:
        sweep = planned(store, name, plan_id)
        if work(words, gone, sweep, store, uri):
            sync.mirror_missing(sweep, store, uri)
    except Exception as error:
        print_error(f"{type(error).__name__}: {error}")
        sys.exit(1)


def _lower_priority() -> None:
    os.nice(_NICENESS)
    with suppress(OSError):  # Linux shares processors among sessions first, and this is one
        Path("/proc/self/autogroup").write_text(str(_NICENESS))


def planned(store: Store, name: str, plan_id: str) -> Sweep:
    """A sweep as far as its plan tells: the resources of its cells are not asked for here."""
    plan = store.plan(name, plan_id)
    cells = [Cell(plan["settings"][each], plan["labels"][each], each) for each in plan["cells"]]
    return Sweep(name, plan["description"], cells, Resources(), Path(f"{name}.yaml"))


def _listen(words: SimpleQueue[str], gone: threading.Event) -> None:
    """Keep what the driver says, so that it never waits; tell if it goes away."""
    for line in sys.stdin:
        words.put(line.strip())
        if line.strip() == _COMPLETE:
            return
    gone.set()
    words.put("")


def work(
    words: SimpleQueue[str], gone: threading.Event, sweep: Sweep, store: Store, uri: str
) -> bool:
    """Make the runs of cells as they end; gives whether the driver asks for the missing ones."""
    from pipeline.tracking import client as tracking

    patience = _CircuitBreaker()

    def prepare() -> None:
        tracking.prepare(uri, sweep.name, sweep.description, store)

    is_ready = patience.call(prepare)
    while (word := words.get()) != _COMPLETE and not gone.is_set():
        cell_id, status = word.split()
        mirror = tracking.mirror_failure if status == "failed" else tracking.mirror
        is_ready = is_ready or patience.call(prepare)
        if is_ready:
            patience.call(partial(mirror, uri, sweep.name, store, cell_id))
    return word == _COMPLETE


if __name__ == "__main__":
    main()
