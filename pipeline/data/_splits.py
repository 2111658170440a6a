"""Splits fixed by the position of a sample in its data set: no seed of a trial enters them.

The order comes from integer arithmetic written out here, since random generators of libraries may
change between versions and a split may not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.seeds import derive


def fixed_order(count: int, word: str) -> NDArray[np.int64]:
    """Permute the positions 0 … count − 1 by their hashes; ``word`` names the permutation."""
    return np.argsort(_hashes(count, word), kind="stable")


def stratified(labels: NDArray[np.int64], share: float, word: str) -> NDArray[np.bool_]:
    """Mark ``share`` of the samples of every class, and never all samples of one.

    Args:
        labels: (N,) class of each sample.
        share: in [0, 1); of a class of n, round(share·n) samples are marked, at most n − 1.
        word: names the permutation in which the first of every class are marked.

    Raises:
        ValueError: if ``share`` is outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"validation must be at least 0 and less than 1, not {share}")
    order = fixed_order(len(labels), word)
    marked = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        marked[members[: share_of(len(members), share)]] = True
    return marked


def share_of(count: int, share: float) -> int:
    """How many of a class's ``count`` samples a share of them is: never all."""
    return min(round(share * count), count - 1)


def _hashes(count: int, word: str) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood, 2014) at ``count`` places of the stream ``word``."""
    start = np.uint64(derive(0, "split", word))
    z = start + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
