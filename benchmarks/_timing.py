"""Interleaved timing, ratios within a round, and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import torch

from pipeline.training.metering import synchronized_time
from pipeline.trial.provenance import provenance

Seconds = dict[str, list[float]]
"""By name: the seconds of every round."""

UNIT = "G"
"""The name of one forward and one backward: the unit of all that is timed beside it."""


def interleaved(
    actions: Mapping[str, Callable[[], object]], device: torch.device, rounds: int
) -> Seconds:
    """Time every action once a round, all work of the device done, after one round that is not.

    What else the machine does in a round, it does to all of them.
    """
    for action in actions.values():
        action()
    seconds: Seconds = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            start = synchronized_time(device)
            action()
            seconds[name].append(synchronized_time(device) - start)
    return seconds


def in_units(seconds: Seconds, name: str, unit: str = UNIT) -> float:
    """Median over rounds of one action's time over another's in the same round."""
    return median(a / b for a, b in zip(seconds[name], seconds[unit], strict=True))


def milliseconds(seconds: Sequence[float]) -> str:
    """Median (least, most)."""
    middle, low, high = (1000 * f(seconds) for f in (median, min, max))
    return f"{middle:.1f} ({low:.1f}, {high:.1f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is words and whose others are numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def machine(device: torch.device, arithmetic: str = ", float32, TF32 off") -> str:
    """Hardware, threads, torch and commit, in a line, and the arithmetic of all that is timed."""
    made = provenance(device, "")
    clean = "with changes" if made["dirty"] else "clean"
    return (
        f"{made['device']}, {made['threads']} threads, torch {made['versions']['torch']}, "
        f"commit {str(made['commit'])[:7]} ({clean}){arithmetic}"
    )
