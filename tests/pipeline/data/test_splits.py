from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data._splits import _hashes, fixed_order, stratified
from pipeline.seeds import derive


def _splitmix(state: int) -> int:
    """One output of SplitMix64, in Python's integers."""
    z = state % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_published_splitmix_output() -> None:
    assert _splitmix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


def test_hashes_are_splitmix() -> None:
    start = derive(0, "split", "test")
    slow = [_splitmix(start + i * 0x9E3779B97F4A7C15) for i in range(1, 9)]
    assert _hashes(8, "test").tolist() == slow


@given(st.integers(0, 300), st.sampled_from(["test", "validation"]))
def test_order_is_a_permutation(count: int, word: str) -> None:
    assert sorted(fixed_order(count, word)) == list(range(count))


def test_words_name_different_orders() -> None:
    assert not np.array_equal(fixed_order(50, "test"), fixed_order(50, "validation"))


def test_order_is_frozen() -> None:
    assert fixed_order(8, "validation").tolist() == [7, 6, 0, 2, 4, 5, 3, 1]


@given(st.lists(st.integers(0, 5), max_size=200), st.floats(0, 0.999))
def test_every_class_gives_its_share_and_keeps_one(labels: list[int], share: float) -> None:
    array = np.array(labels, dtype=np.int64)
    mask = stratified(array, share, "validation")
    for label in set(labels):
        members = labels.count(label)
        assert mask[array == label].sum() == min(round(share * members), members - 1)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="validation must be at least 0 and less than 1"):
        stratified(np.zeros(3, dtype=np.int64), share, "validation")
