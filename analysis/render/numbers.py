"""How numbers print: the same digits in every format, so that none can disagree with another."""

from __future__ import annotations

import math

MISSING = "—"
LARGE, SMALL = 1e6, 1e-3
"""Beyond these, numbers print as ``1.23e-04``."""


def significant(value: float, digits: int) -> str:
    """Print a number with that many significant digits; digits before the point are all kept."""
    return _fixed(value, digits, value)


def interval(estimate: float, low: float, high: float, digits: int) -> str:
    """Print an interval ``[0.110, 0.140]`` with the decimals of `with_interval`, or nothing."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    scale = _scale(estimate, low, high)
    return f"[{_fixed(low, digits, scale)}, {_fixed(high, digits, scale)}]"


def point(estimate: float, low: float, high: float, digits: int) -> str:
    """Print the estimate to the precision that its interval leaves it."""
    return _fixed(estimate, digits, _scale(estimate, low, high))


def with_interval(estimate: float, low: float, high: float, digits: int) -> str:
    """Print ``0.123 [0.110, 0.140]``, all with the same decimals; no interval where there is none.

    The decimals are those that give ``digits`` significant ones to the larger of the estimate and
    the interval's half-width.
    """
    return f"{point(estimate, low, high, digits)} {interval(estimate, low, high, digits)}".strip()


def _scale(estimate: float, low: float, high: float) -> float:
    half = (high - low) / 2
    return max(abs(estimate), half) if math.isfinite(half) else estimate


def _fixed(value: float, digits: int, scale: float) -> str:
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
