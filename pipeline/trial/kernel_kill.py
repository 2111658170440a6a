"""Whether the kernel has killed a cell's worker at a memory limit, as its successor finds out.

The guard of `pipeline.trial.memory_guard` looks four times a second; a process that takes all at
once is killed without a word. Tune then starts its cell a second time, mostly on the same machine:
a count of the control group's kills, noted before the cell starts, tells why the first worker is
gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.training.local_notes import note_file
from pipeline.trial import cgroup


@contextmanager
def traced(run: str, cell_id: str) -> Iterator[str]:
    """Context manager of a trial; gives why its predecessor was killed, if for memory, else "".

    Args:
        run: an id of the driver's run: earlier runs do not count.
        cell_id: the trial's cell.
    """
    note = note_file(run, cell_id)
    now = cgroup.kills()
    reason = _reason(note, now)
    with suppress(OSError):  # no room for a note: no better word for a kill, then
        note.write_text(json.dumps(now))
    try:
        yield reason
    finally:  # which a killed process does not come to
        with suppress(OSError):
            note.unlink()


def _reason(note: Path, now: tuple[str, int] | None) -> str:
    try:
        before = json.loads(note.read_text())
    except (OSError, ValueError):
        return ""
    if now is None or before is None or before[0] != now[0] or before[1] >= now[1]:
        return ""
    limits = [space.total for space in cgroup.spaces()]
    limit = f" ({min(limits) / 2**30:.1f} GiB)" if limits else ""
    return (
        f"out of memory: the kernel killed its worker at the memory limit{limit} of {now[0]}; "
        "lower batch_size or --concurrency, or give the job more memory"
    )
