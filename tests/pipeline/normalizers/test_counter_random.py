"""Random numbers by counter: SplitMix64's own outputs, and the distributions made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from pipeline.normalizers._ops import counter_random as _counter_random
from pipeline.normalizers._ops.counter_random import uniform, uniform_and_normal, words
from pipeline.seeds import derive
from tests.pipeline.normalizers.formulas.batch import splitmix64

PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]
"""The first outputs for the seed 1234567 that tests of many implementations hold."""
HOST = torch.device("cpu")


def unsigned(found: Tensor) -> list[int]:
    return [word % 2**64 for word in found.tolist()]


def test_words_are_the_published_ones() -> None:
    assert unsigned(words(1234567, torch.arange(5))) == PUBLISHED
    assert splitmix64(1234567, 5) == PUBLISHED


@pytest.mark.parametrize("key", [0, 1, 2**63 - 1, -(2**63), 0x123456789ABCDEF])
def test_words_are_those_of_unbounded_integers(key: int) -> None:
    assert unsigned(words(key, torch.arange(500))) == splitmix64(key, 500)


def test_a_word_is_a_function_of_its_index_alone() -> None:
    index = torch.tensor([70, 3, 3, 0])
    assert torch.equal(words(5, index), words(5, torch.arange(71))[index])
    assert index.tolist() == [70, 3, 3, 0]


def test_uniform_numbers_are_53_bits_of_the_first_words() -> None:
    assert uniform(1234567, 5, HOST).tolist() == [(word >> 11) / 2**53 for word in PUBLISHED]
    assert stats.kstest(uniform(3, 100_000, HOST), stats.uniform.cdf).pvalue > 0.01


def test_uniform_numbers_and_normal_ones_have_their_distributions() -> None:
    flat, normal = (x.numpy() for x in uniform_and_normal(3, torch.zeros(200_000).double(), 0))
    assert stats.kstest(flat, stats.uniform(-1, 2).cdf).pvalue > 0.01
    assert stats.kstest(normal, stats.norm.cdf).pvalue > 0.01
    moments = [(normal**k).mean() for k in (1, 2, 3, 4)]
    errors = [(variance / len(normal)) ** 0.5 for variance in (1, 2, 15, 96)]
    for found, wanted, error in zip(moments, (0, 1, 0, 3), errors, strict=True):
        assert abs(found - wanted) < 4 * error
    for pair in ([flat, normal], [flat**2, normal**2]):
        assert abs(np.corrcoef(pair)[0, 1]) < 4 / len(normal) ** 0.5


def test_layers_steps_and_neighbours_are_independent() -> None:
    keys = [
        derive(seed, "noise", layer, step) for seed in (0, 1) for layer in "ab" for step in (0, 1)
    ]
    like = torch.zeros(50_000).double()
    rows = torch.stack([uniform_and_normal(key, like, 0)[1] for key in keys])
    shifted = torch.stack([rows[0], rows[0].roll(1), rows[0].roll(64)])
    for group in (rows, shifted):
        off = torch.corrcoef(group) - torch.eye(len(group))
        assert off.abs().max() < 5 / 50_000**0.5


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (3, 4, 1, 1), (3, 1, 5, 6), (1, 4, 5, 6)])
@pytest.mark.parametrize("block", [7, 2**14])
def test_memory_format_and_blocks_change_no_bit(
    shape: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = uniform_and_normal(9, torch.zeros(shape), 11)
    monkeypatch.setitem(_counter_random._BLOCK, "cpu", block)
    like = torch.zeros(shape).contiguous(memory_format=torch.channels_last)
    for ours, theirs in zip(uniform_and_normal(9, like, 11), plain, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.is_contiguous(memory_format=torch.channels_last)


def test_the_first_index_is_counted_on() -> None:
    like, longer = torch.zeros(10), torch.zeros(17)
    for ours, theirs in zip(
        uniform_and_normal(9, like, 7), uniform_and_normal(9, longer, 0), strict=True
    ):
        assert torch.equal(ours, theirs[7:])


def test_the_largest_draw_is_finite() -> None:
    """At the smallest radius word ln is of 2⁻²⁴; at the largest it is of 1."""
    radii = torch.tensor([0.0, 2.0**24 - 1], dtype=torch.float64)
    found = _counter_random._normal(radii, torch.zeros(2, dtype=torch.float64))
    assert found.tolist() == pytest.approx([(48 * torch.log(torch.tensor(2.0)).item()) ** 0.5, 0.0])
