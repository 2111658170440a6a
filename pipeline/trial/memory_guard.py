"""A trial that takes more memory than there is: ended in time, and said in plain words.

Ray's own guard of memory ends whichever worker is the youngest, and with it the sweep; the kernel's
ends a process without a word. This one ends the trial that has taken too much, and says so.

Two files of ``/proc`` contain the numbers. psutil reads the same files, does not know control
groups, and is otherwise no dependency: Ray has a private copy, and a trial runs without Ray.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.trial import cgroup
from pipeline.trial.cgroup import Space

_LOOK_EVERY = 0.25
"""Seconds between two looks: a process fills about a GiB in that time."""
_MIN_FREE = 0.1
"""The share of the machine's memory that is to be left."""
_MIN_SHARE = 0.1
"""The share of the machine's memory that no trial is ended for."""
_JITTER = 0.5
"""Seconds within which those that have taken too much look again, the greediest one first."""
_GIB = 2**30


def cause(error: BaseException) -> str:
    """What a trial raised, in a line; of exhausted memory in plain words."""
    message = f"{type(error).__name__}: {error}"
    # CUDA's errors have several types, and what the allocator of the CPU raises has none.
    if type(error).__name__ == "OutOfMemoryError" or "CUDA error: out of memory" in message:
        return f"out of memory on the GPU; lower batch_size or raise resources.gpus: {message}"
    if isinstance(error, MemoryError) or "can't allocate memory" in message:
        return f"out of memory; lower batch_size or --concurrency: {message}"
    return message


@contextmanager
def kill_on_memory_pressure(cpus: int, report: Callable[[str], None]) -> Iterator[None]:
    """Within it, the process reports and ends itself where it fills its machine's memory.

    That is when a tenth of the memory or less is left, and this process has more than half of what
    its share of the processors would give it (and no less than a tenth); the same goes for the
    memory of each of its control groups. Does nothing where there is no ``/proc`` to read.

    Args:
        cpus: processors that the trial occupies.
        report: is given the words.
    """
    if not Path("/proc/meminfo").exists():
        yield
        return
    stop = threading.Event()
    fair = max(_MIN_SHARE, 0.5 * cpus / (os.cpu_count() or 1))
    thread = threading.Thread(target=_watch, args=[stop, fair, report], daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(stop: threading.Event, fair: float, report: Callable[[str], None]) -> None:
    while not stop.wait(_LOOK_EVERY):
        if (space := _filled(fair)) is not None:
            turn = random.uniform(0, _JITTER) * (1 - process_rss() / space.total)
            if not stop.wait(turn) and (space := _filled(fair)) is not None:  # no other has ended
                _end(space, report)


def _filled(fair: float) -> Space | None:
    """The memory that this process has filled, if it has."""
    taken = process_rss()
    guilty = (s for s in spaces() if s.left <= _MIN_FREE * s.total and taken > fair * s.total)
    return next(guilty, None)


def _end(space: Space, report: Callable[[str], None]) -> None:
    taken, total = process_rss() / _GIB, space.total / _GIB
    try:
        report(
            f"out of memory: it had taken {taken:.1f} of the {total:.1f} GiB of its {space.owner} "
            "and no more was left; lower batch_size or --concurrency"
        )
    finally:
        os._exit(1)


def process_rss() -> int:
    """Bytes of memory that this process occupies."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def spaces() -> list[Space]:
    """The memory that this process can fill: its machine's, and that of its control groups."""
    return [total_and_available(), *cgroup.spaces()]


def total_and_available() -> Space:
    """This machine's memory."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kibibytes = {words[0]: int(words[1]) for words in lines}
    total, left = 1024 * kibibytes["MemTotal:"], 1024 * kibibytes["MemAvailable:"]
    return Space("machine", total, left)
