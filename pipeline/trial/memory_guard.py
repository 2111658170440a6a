"""A trial that takes more memory than there is: ended in time, and said in plain words.

Ray's own guard of memory ends whichever worker is the youngest, and with it the sweep; the kernel's
ends a process without a word. This one ends the trial that has taken too much, and says so.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY = 0.25
"""Seconds between two looks: a process fills about a GiB in that time."""
_LEFT = 0.1
"""The share of the machine's memory that is to be left."""
_LEAST = 0.1
"""The share of the machine's memory that no trial is ended for."""
_TURN = 0.5
"""Seconds within which those that have taken too much look again, the greediest one first."""
_GIB = 2**30


def cause(error: BaseException) -> str:
    """What a trial raised, in a line; of exhausted memory in plain words."""
    said = f"{type(error).__name__}: {error}"
    # CUDA's errors have several types, and what the allocator of the CPU raises has none.
    if type(error).__name__ == "OutOfMemoryError" or "CUDA error: out of memory" in said:
        return f"out of memory on the GPU; lower batch_size or raise resources.gpus: {said}"
    if isinstance(error, MemoryError) or "can't allocate memory" in said:
        return f"out of memory; lower batch_size or --concurrency: {said}"
    return said


@contextmanager
def ended_when_full(cpus: int, report: Callable[[str], None]) -> Iterator[None]:
    """Within it, the process reports and ends itself where it fills its machine's memory.

    That is when a tenth of the memory or less is left, and this process has more than half of what
    its share of the processors would give it (and no less than a tenth). Does nothing where there
    is no ``/proc`` to read.

    Args:
        cpus: processors that the trial occupies.
        report: is given the words.
    """
    if not Path("/proc/meminfo").exists():
        yield
        return
    stop = threading.Event()
    fair = max(_LEAST, 0.5 * cpus / (os.cpu_count() or 1))
    thread = threading.Thread(target=_watch, args=[stop, fair, report], daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(stop: threading.Event, fair: float, report: Callable[[str], None]) -> None:
    while not stop.wait(_LOOK_EVERY):
        if _is_guilty(fair):
            turn = random.uniform(0, _TURN) * (1 - own() / machine()[0])
            if not stop.wait(turn) and _is_guilty(fair):  # no other one has ended meanwhile
                _end(report)


def _is_guilty(fair: float) -> bool:
    total, left = machine()
    return left <= _LEFT * total and own() > fair * total


def _end(report: Callable[[str], None]) -> None:
    total, _ = machine()
    try:
        report(
            f"out of memory: it had taken {own() / _GIB:.1f} of the machine's {total / _GIB:.1f} "
            "GiB and no more was left; lower batch_size or --concurrency"
        )
    finally:
        os._exit(1)


def own() -> int:
    """Bytes of memory that this process occupies."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def machine() -> tuple[int, int]:
    """Bytes of this machine's memory, or of its container's, and what is left of them."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kibibytes = {words[0]: int(words[1]) for words in lines}
    host = 1024 * kibibytes["MemTotal:"], 1024 * kibibytes["MemAvailable:"]
    return min(host, _container() or host)


def _container() -> tuple[int, int] | None:
    """The same of a container with a limit of its own (cgroup v2); None where there is none."""
    folder = Path("/sys/fs/cgroup")
    try:
        total = int((folder / "memory.max").read_text())
        pages = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        used = int((folder / "memory.current").read_text()) - int(pages["inactive_file"])
    except (OSError, ValueError):  # no such files, or "max"
        return None
    return total, total - used
