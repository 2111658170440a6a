"""The live view: a panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.cli import duration, stop_notice
from pipeline.spec import Cell
from pipeline.sweep.forecast.durations import Estimate

_PLAIN_EVERY = 10.0
"""Seconds between plain lines."""
_IDLE_AFTER, _IDLE_EVERY = 20.0, 60.0
"""Seconds without a running cell after which the sweep waits, and between plain lines that say so.
Ray starts a worker in less."""
_WAITING = "waiting for free CPUs or GPUs, which other work holds"
_SHOWN = 12
"""Current cells shown at once."""


def title(labels: Mapping[str, Any]) -> str:
    """A cell in words: what distinguishes it from its neighbours."""
    return "{normalizer} · {architecture} · lr {lr:g} · seed {seed}".format(**labels)


def _means(cells: Sequence[Cell], expected: Estimate) -> dict[str, float]:
    """Expected seconds of a cell, by architecture."""
    times: dict[str, list[float]] = defaultdict(list)
    for cell in cells:
        times[cell.labels["architecture"]].append(expected.seconds(cell) or 0.0)
    return {name: sum(each) / len(each) for name, each in times.items()}


@dataclass
class Progress:
    """Counts, current cells and time left of a sweep; a context manager that shows them."""

    cells: list[Cell]
    """The cells to run now."""
    finished_before: int
    slots: int
    """Cells that run at once."""
    console: Console = field(default_factory=lambda: Console(stderr=True))
    expected: Estimate = field(default_factory=lambda: Estimate({}, None, False))
    """What is known beforehand."""
    how_far: Callable[[str], str] = lambda cell_id: ""
    """How far a current cell is, in words."""
    counts: Counter[str] = field(default_factory=Counter)
    """Ended cells by status: ok, diverged, time_limit, failed, lost."""
    running: dict[str, float] = field(default_factory=dict)
    """Current cells and when each started."""

    def __post_init__(self) -> None:
        self._labels = {cell.cell_id: cell.labels for cell in self.cells}
        self._left = Counter(cell.labels["architecture"] for cell in self.cells)
        self._seconds: dict[str, list[float]] = defaultdict(list)
        known = [
            cell for cell in self.cells if cell.labels["architecture"] in self.expected.per_step
        ]
        self._beforehand = _means(known, self.expected)
        self._began = self._printed = self._idle_since = time.monotonic()
        self._over = threading.Event()
        self._live: Live | None = None
        self._notice = ""
        self._notices = ExitStack()
        # The panel is drawn by a thread of its own while cells start and end.
        self._lock = threading.RLock()

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self._panel, console=self.console, refresh_per_second=4
            )
            self._live.__enter__()
            self._notices.enter_context(stop_notice(self._show_notice))
        else:
            threading.Thread(target=self._print_while_idle, daemon=True).start()
        return self

    def _print_while_idle(self) -> None:
        """Without a terminal: a line every minute in which nothing runs."""
        while not self._over.wait(_PLAIN_EVERY):
            now = time.monotonic()
            if self._is_waiting() and now - self._printed > _IDLE_EVERY:
                self._printed = now
                self.console.print(self.line(), highlight=False, soft_wrap=True)

    def _is_waiting(self) -> bool:
        """Whether no cell has run for a while, though some are left."""
        with self._lock:
            idle = not self.running and self._left.total() > 0
            return idle and time.monotonic() - self._idle_since > _IDLE_AFTER

    def _show_notice(self, text: str) -> None:
        """Show a line below the panel from its next drawing on: a signal may come at any moment."""
        self._notice = text

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._notices.close()
        if self._live is not None:
            self._live.__exit__(None, None, None)
        else:
            self.console.print(self.line(), highlight=False, soft_wrap=True)

    def started(self, cell_id: str) -> None:
        """A cell has started on some worker."""
        with self._lock:
            self.running[cell_id] = time.monotonic()

    def ended(self, cell_id: str, status: str) -> None:
        """A cell has ended with a status, or is ``lost`` with its worker."""
        now = time.monotonic()
        with self._lock:
            began = self.running.pop(cell_id, now)
            self._idle_since = now
            if status == "stopped":  # it is to be run again, and its time tells nothing
                return
            architecture = self._labels[cell_id]["architecture"]
            self._seconds[architecture].append(now - began)
            self._left[architecture] -= 1
            self.counts[status] += 1
        if self._live is None and now - self._printed > _PLAIN_EVERY:
            self._printed = now
            self.console.print(self.line(), highlight=False, soft_wrap=True)

    def eta(self) -> float | None:
        """Seconds left, from the mean time of ended cells of each architecture; None at first.

        Of an architecture that no cell has ended of, what earlier runs took counts; else at least
        the mean of the others, and twice what its present cells have taken already.
        """
        with self._lock:
            now = time.monotonic()
            expected = {name: self._cell_seconds(name, now) for name in self._left}
            if not any(self._seconds.values()) and None in expected.values():
                return None
            work = sum(n * (expected[a] or 0.0) for a, n in self._left.items())
            for cell_id, began in self.running.items():
                # What takes longer than expected is about to end; the others are still to come.
                name = self._labels[cell_id]["architecture"]
                work -= min(now - began, expected[name] or 0.0)
            return max(0.0, work) / min(self.slots, max(1, self._left.total()))

    def _cell_seconds(self, architecture: str, now: float) -> float | None:
        """Expected time of one cell; None if nothing tells."""
        own = self._seconds[architecture]
        if own:
            return sum(own) / len(own)
        if architecture in self._beforehand:
            return self._beforehand[architecture]
        others = [t for each in self._seconds.values() for t in each]
        if not others:
            return None
        running = (
            now - began
            for cell_id, began in self.running.items()
            if self._labels[cell_id]["architecture"] == architecture
        )
        return max(sum(others) / len(others), 2 * max(running, default=0.0))

    def _is_guess(self) -> bool:
        """Whether some architecture to come has never been seen to its end."""
        known = {name for name, each in self._seconds.items() if each} | set(self._beforehand)
        return any(n and name not in known for name, n in self._left.items())

    def line(self) -> str:
        """Everything in one plain line."""
        with self._lock:
            return self._line()

    def _line(self) -> str:
        total = len(self.cells) + self.finished_before
        done = self.finished_before + self.counts.total()
        parts = [f"[{done}/{total}]"]
        parts += [f"{self.counts[s]} {s}" for s in ("ok", "diverged", "failed")]
        parts += [f"{self.counts[s]} {s}" for s in ("time_limit", "lost") if self.counts[s]]
        if self.finished_before:
            parts.append(f"{self.finished_before} from before")
        parts.append(f"{len(self.running)} running")
        eta = self.eta()
        about = "at least" if self._is_guess() else "about"
        left = f"{about} {duration(eta)} left" if eta is not None else "estimating"
        left = _WAITING if self._is_waiting() else left
        elapsed = duration(time.monotonic() - self._began)
        ending = [elapsed] if done == total else [elapsed, left]
        return " · ".join([*parts, *ending])

    def _panel(self) -> RenderableType:
        with self._lock:
            return self._drawn()

    def _drawn(self) -> RenderableType:
        total = len(self.cells) + self.finished_before
        done = self.finished_before + self.counts.total()
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        current = list(self.running.items())
        for cell_id, began in current[:_SHOWN]:
            table.add_row(
                Text(cell_id[:8], style="dim"),
                title(self._labels[cell_id]),
                Text(duration(now - began), style="dim"),
                Text(self.how_far(cell_id), style="dim"),
            )
        if len(current) > _SHOWN:
            table.add_row("", f"… and {len(current) - _SHOWN} more", "", "")
        bar = Padding(ProgressBar(total=total, completed=done), 0)  # a bar alone ends no line
        notice = [Text(self._notice, style="bold")] if self._notice else []
        return Group(bar, Text(self.line()), table, *notice)
