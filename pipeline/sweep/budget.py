"""A hard limit on what one run of the command may use: hours, or GPU-hours.

A cell starts only if it is expected to end within what is left. What cells take longer than
expected does not pass the limit either: at the limit, running cells save checkpoints and end.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """What a cell is expected to use."""

    kind: str
    """Cells of one kind take about as long."""
    gpus: float
    seconds: float | None
    """None: nothing is known beforehand."""


@dataclass(frozen=True)
class Limits:
    """In hours; infinite: no limit."""

    hours: float = math.inf
    gpu_hours: float = math.inf

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def text(self) -> str:
        """The options that set them."""
        given = {"--max-hours": self.hours, "--max-gpu-hours": self.gpu_hours}
        return " ".join(f"{name} {value:g}" for name, value in given.items() if value < math.inf)


class Budget:
    """Admits cells within limits, and counts what they use from then on."""

    def __init__(
        self,
        limits: Limits,
        needs: Mapping[str, Need],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._needs, self._clock, self._start = needs, clock, clock()
        self._seconds, self._gpu_seconds = 3600 * limits.hours, 3600 * limits.gpu_hours
        self._running: dict[str, float] = {}
        self._spent = 0.0
        self._took: dict[str, list[float]] = defaultdict(list)
        self._open, self._refused = set(needs), False
        self._text = limits.text

    def admit(self, cell_id: str) -> bool:
        """Whether a cell may start: it and those that run are expected to end within the limits."""
        self.ended(cell_id, "restarted")
        self._open.discard(cell_id)
        if self._fits(cell_id):
            self._running[cell_id] = self._clock()
            return True
        self._refused = True
        return False

    def ended(self, cell_id: str, status: str) -> None:
        """A cell has ended, with whatever status."""
        if (began := self._running.pop(cell_id, None)) is None:
            return
        need, took = self._needs[cell_id], self._clock() - began
        self._spent += need.gpus * took
        if status in ("ok", "diverged", "time_limit"):
            self._took[need.kind].append(took)

    def is_used_up(self) -> bool:
        """Whether a limit is reached."""
        used = self._spent + sum(map(self._used, self._running))
        return self._elapsed() >= self._seconds or used >= self._gpu_seconds

    def cause(self) -> str:
        """Why to end: a limit is reached, or the cells that are left would pass it; or empty."""
        if self.is_used_up():
            return f"{self._text} used up"
        stuck = self._refused and not self._running and not any(map(self._fits, self._open))
        return f"{self._text}: the cells that are left would pass it" if stuck else ""

    def _fits(self, cell_id: str) -> bool:
        seconds = self._expected(cell_id)
        reserved = sum(map(self._reserved, self._running))
        gpu_seconds = self._spent + reserved + self._needs[cell_id].gpus * seconds
        within = self._elapsed() + seconds <= self._seconds and gpu_seconds <= self._gpu_seconds
        return within and not self.is_used_up()

    def _elapsed(self) -> float:
        return self._clock() - self._start

    def _expected(self, cell_id: str) -> float:
        """Seconds that a cell will take: as known beforehand, else as others of its kind took."""
        need = self._needs[cell_id]
        if need.seconds is not None:
            return need.seconds
        took = self._took[need.kind]
        return sum(took) / len(took) if took else 0.0

    def _used(self, cell_id: str) -> float:
        return self._needs[cell_id].gpus * (self._clock() - self._running[cell_id])

    def _reserved(self, cell_id: str) -> float:
        """GPU-seconds that a running cell will have used at its end."""
        return max(self._used(cell_id), self._needs[cell_id].gpus * self._expected(cell_id))
