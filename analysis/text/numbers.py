"""How numbers print: the same digits in every format, so that none can disagree with another."""

from __future__ import annotations

import math

MISSING = "—"
INFINITE = "∞"
DIVERGED = "diverged"
"""What an infinite estimate means: the runs that it would be of diverged."""
LARGE, SMALL = 1e6, 1e-3
"""From here on, and below, numbers print as ``1.23e-04``."""


def significant(value: float, digits: int) -> str:
    """Print a number with that many significant digits; digits before the point are all kept."""
    return _fixed(value, digits, value)


def triple(estimate: float, low: float, high: float, digits: int) -> tuple[str, str, str]:
    """Print an estimate and its limits, all with the same decimals.

    The decimals are those that give ``digits`` significant ones to the larger of the estimate and
    a quarter of the interval's width, about a standard error: ``0.123``, ``0.110``, ``0.140``. A
    lower limit that these would show as 0, of an estimate above it, prints as ``<0.001``.
    """
    quarter = (high - low) / 4
    scale = max(abs(estimate), quarter) if math.isfinite(quarter) else estimate
    text = DIVERGED if estimate == math.inf else _fixed(estimate, digits, scale)
    return text, _limit(low, estimate, digits, scale), _fixed(high, digits, scale)


def interval(low: str, high: str) -> str:
    """``[0.110, 0.140]``, or nothing where a limit is missing."""
    return "" if MISSING in (low, high) else f"[{low}, {high}]"


def _limit(low: float, estimate: float, digits: int, scale: float) -> str:
    text = _fixed(low, digits, scale)
    if low >= 0 and estimate > 0 and set(text) <= {"0", "."}:
        return f"<{text[:-1]}1"
    return text


def _fixed(value: float, digits: int, scale: float) -> str:
    if value == math.inf:
        return INFINITE
    if not math.isfinite(value):
        return MISSING
    if scale == 0 or not math.isfinite(scale):
        return f"{value:g}"
    if not SMALL <= abs(scale) < LARGE:
        return f"{value:.{digits - 1}e}"
    # the scale is rounded before its magnitude is taken: 0.9996 has three digits as 1.00
    magnitude = math.floor(math.log10(float(f"{abs(scale):.{digits - 1}e}")))
    text = f"{value:.{max(0, digits - 1 - magnitude)}f}"
    return text.removeprefix("-") if float(text) == 0 else text
