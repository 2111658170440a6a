"""Processors that the scheduler lets this process use."""

from __future__ import annotations

import os


def affinity() -> int:
    """How many; those of the machine where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
