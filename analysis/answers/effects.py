"""The effects of several findings in a few words: the smallest and the largest, with their unit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.text import Finding, Number, Sentence, significant

DIGITS = 2
_WORDS = {"×": "ratio", "of runs": "share", "relative": "gap"}
"""By its unit, what an effect is; else it is a difference."""


def effect_range(key: str, findings: Sequence[Finding]) -> Sentence:
    """``0.030 to 0.047×``: the effect with its unit, or the ends; empty where measures differ."""
    ends = _ends(key, findings)
    unit = findings[0].unit if findings else ""
    if not ends or not unit:
        return ends
    return (*ends, unit if unit == "×" else f" {unit}")


def effects_named(key: str, findings: Sequence[Finding]) -> Sentence:
    """``, ratio 0.030 to 0.047``; empty where measures differ."""
    ends = _ends(key, findings)
    if not ends:
        return ()
    unit = findings[0].unit
    after = (f" {unit}",) if unit not in ("", "×") else ()
    return (f", {_WORDS.get(unit, 'difference')} ", *ends, *after)


def _ends(key: str, findings: Sequence[Finding]) -> Sentence:
    effects = sorted(f.effect for f in findings if math.isfinite(f.effect))
    if not effects or len({finding.measure for finding in findings}) > 1:
        return ()
    low, high = (
        Number(f"{key}/{end}", value, significant(value, DIGITS))
        for end, value in (("smallest", effects[0]), ("largest", effects[-1]))
    )
    return (low,) if low.text == high.text else (low, " to ", high)
