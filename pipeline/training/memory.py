"""How much device memory the parts of a trial take at most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class PeakMemory:
    """Peaks of memory allocated on one device, in bytes; only CUDA knows them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._highest = 0
        self.parts: dict[str, int | None] = {}
        """By part: the peak above what was allocated when it began; None where it is not known."""

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Within it, memory is the part's. A part that comes again keeps its largest peak."""
        if self._device.type != "cuda":
            self.parts[part] = None
            yield
            return
        self._look()
        before = torch.cuda.memory_allocated(self._device)
        yield
        own = self._look() - before
        self.parts[part] = max(own, self.parts.get(part) or 0)

    def highest(self) -> int | None:
        """The peak of all that ran since the device's counter was last reset by anyone else."""
        if self._device.type != "cuda":
            return None
        self._look()
        return self._highest

    def _look(self) -> int:
        """The peak since the last look; the device keeps one counter, so each look resets it."""
        peak = torch.cuda.max_memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        self._highest = max(self._highest, peak)
        return peak
