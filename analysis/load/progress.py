"""How far a long report is, in plain lines on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pipeline.cli import duration

_EVERY = 10.0
"""Seconds between lines: a report that takes less says nothing."""

T = TypeVar("T")


def with_progress(what: str, items: Iterable[T], total: int) -> Iterator[T]:
    """The items; now and then how many of ``total`` came, and how long the rest will take."""
    began = last = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= _EVERY and count < total:
            left = duration((now - began) / count * (total - count))
            print(f"{what}: {count / total:.0%}, {left} left", file=sys.stderr, flush=True)
            last = now
