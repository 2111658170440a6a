"""Normalizers against each other, on pairs of runs that share data, architecture, LR and seed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.metrics import Measure
from analysis.statistics import estimates as stats

ALPHA = 0.05


class Contrast(NamedTuple):
    """A normalizer against another: a ratio or a difference, its interval, and the tests."""

    effect: float
    effect_low: float
    effect_high: float
    pairs: int
    p: float
    p_holm: float


NO_CONTRAST = Contrast(np.nan, np.nan, np.nan, 0, np.nan, np.nan)


def paired(rows: pd.DataFrame, value: str, pair: Sequence[str]) -> pd.DataFrame:
    """A row per pair key, a column per normalizer, the last key (or nothing) the block's."""
    return rows.groupby([*pair, "normalizer"])[value].mean().unstack().sort_index()


def against(
    wide: pd.DataFrame, reference: str, measure: Measure, rng: np.random.Generator
) -> dict[str, Contrast]:
    """Each normalizer against the reference: Hodges–Lehmann effect, sign-flip p, Holm over them.

    The effect is exp(Hodges–Lehmann of log-ratios), or of differences for signed measures.
    """
    found = {}
    for name in wide.columns.drop(reference, errors="ignore") if reference in wide else ():
        d, blocks = differences(wide, name, reference, measure)
        effect = stats.hodges_lehmann(d)
        numbers = np.array([effect.estimate, effect.low, effect.high])
        center, low, high = (np.exp(numbers) if measure.contrast == "ratio" else numbers).tolist()
        p = stats.sign_flip(d, blocks, rng)
        found[str(name)] = Contrast(center, low, high, effect.n, p, np.nan)
    adjusted = stats.holm([contrast.p for contrast in found.values()])
    return {
        name: contrast._replace(p_holm=float(p))
        for (name, contrast), p in zip(found.items(), adjusted, strict=True)
    }


def best(
    estimates: pd.Series, wide: pd.DataFrame | None, measure: Measure, rng: np.random.Generator
) -> tuple[set[Hashable], bool]:
    """Normalizers to print bold, and whether a test had a say.

    The best estimate (or estimates, where equal); and, where a test could have told them apart, all
    that the paired sign-flip test against the best does not reject at 5 % after Holm.

    Args:
        estimates: by normalizer. wide: from `paired`; None where the measure has no pairs.
    """
    known = estimates[np.isfinite(estimates.astype(float))]
    if measure.better is None or known.empty:
        return set(), False
    top = known.min() if measure.better == "lower" else known.max()
    first = known.index[known == top]
    rivals = known.index.drop(first)
    if wide is None or rivals.empty:
        return set(first), False
    tests = [differences(wide, rival, first[0], measure) for rival in rivals]
    reach = np.array([stats.smallest_p(len(d)) * len(rivals) <= ALPHA for d, _ in tests])
    p = np.array([stats.sign_flip(d, blocks, rng) for d, blocks in tests])
    tied = reach & (stats.holm(p) > ALPHA)
    return {*first, *rivals[tied]}, bool(reach.any())


def differences(
    wide: pd.DataFrame, name: Hashable, other: Hashable, measure: Measure
) -> tuple[np.ndarray, np.ndarray]:
    """Paired differences (of logs, for a ratio) where both are known, and each pair's block."""
    if name not in wide or other not in wide:
        return np.empty(0), np.empty(0)
    one, two = wide[name].to_numpy(float), wide[other].to_numpy(float)
    usable = np.isfinite(one) & np.isfinite(two)
    if measure.contrast == "ratio":
        usable &= (one > 0) & (two > 0)
        return np.log(one[usable] / two[usable]), _blocks(wide.index[usable])
    return one[usable] - two[usable], _blocks(wide.index[usable])


def _blocks(index: pd.Index) -> np.ndarray:
    """The learning rate of each pair, where it is part of the key."""
    if "lr" in index.names:
        return index.get_level_values("lr").to_numpy()
    return np.zeros(len(index))
