from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from pipeline.seeds import derive

_WORDS = st.lists(st.text() | st.integers(), max_size=4)


def test_is_the_first_63_bits_of_blake2b() -> None:
    digest = hashlib.blake2b(b'[3, "order", 7]', digest_size=8).hexdigest()
    assert derive(3, "order", 7) == int(digest, 16) // 2


@given(st.integers(), _WORDS, st.integers(), _WORDS)
def test_streams_differ_exactly_when_their_names_do(
    seed: int, words: list[str | int], other_seed: int, other_words: list[str | int]
) -> None:
    same = (seed, words) == (other_seed, other_words)
    assert (derive(seed, *words) == derive(other_seed, *other_words)) == same


def test_the_encoding_is_unambiguous() -> None:
    keys = [derive(0, "a", "b"), derive(0, "ab"), derive(0, "a", 1), derive(0, "a", "1")]
    assert len({*keys, derive(0, 'a", "b')}) == 5


@given(st.integers(), _WORDS)
def test_key_seeds_a_torch_generator(seed: int, words: list[str | int]) -> None:
    assert 0 <= derive(seed, *words) < 2**63
