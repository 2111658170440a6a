"""Where the y axis of a curve ends."""

from __future__ import annotations

import numpy as np
import pandas as pd

FAR = 3.0
"""Interquartile ranges: Tukey's outer fence. Source: *Exploratory Data Analysis*, 1977."""
LEAST_ROOM = 0.3
"""Decades above the upper quartile that a log axis has in any case: a factor of two."""


def limits(
    values: pd.Series, log: bool, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float] | None:
    """The ends of an axis, by its lines and not by bands that few seeds make as wide as can be.

    Where a few values are far above all others, a logarithmic axis ends at the upper quartile plus
    `FAR` interquartile ranges, of the logarithms: a run that diverges to 10⁷ must not press all
    other lines into one.

    Args:
        bounds: of the quantity; the axis ends hardly beyond them, wide enough for a line on one.

    Returns:
        Lower and upper end; None where no value is finite, or on a log axis none is positive.
    """
    finite = values[np.isfinite(values) & ((values > 0) | (not log))]
    if finite.empty:
        return None
    known = np.log10(finite.to_numpy(float)) if log else finite.to_numpy(float)
    low, high = float(known.min()), float(known.max())
    if log:
        lower, upper = np.quantile(known, [0.25, 0.75])
        high = min(high, upper + max(FAR * (upper - lower), LEAST_ROOM))
    margin = max(0.2 * (high - low), 0.1 if log else 0.05 * abs(high), 1e-9)
    low, high = low - margin, high + margin
    if log:
        return 10**low, 10**high
    room = 0.03 * (high - low)
    return max(low, bounds[0] - room), min(high, bounds[1] + room)
