"""The draws of the noise: their distributions, and which of them are shared."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.helpers.parts.normalizer_blocks import make, set_noise_key


def _scale_and_shift(key: int, shape: tuple[int, ...], **options: float) -> tuple[Tensor, Tensor]:
    """s and m of every position: the noise of zeros is m, that of ones s + m."""
    module = make("noise", **options).features(shape[1])
    set_noise_key(module, key)
    shift = module(torch.zeros(shape, dtype=torch.float64))
    return module(torch.ones(shape, dtype=torch.float64)) - shift, shift


def test_mean_of_each_unit_is_uniform() -> None:
    _, shift = _scale_and_shift(1, (2, 20_000), shift_jitter=0.0)
    assert torch.equal(shift[0], shift[1])
    assert stats.kstest(shift[0], stats.uniform(-0.5, 1.0).cdf).pvalue > 0.01


def test_deviation_of_each_unit_is_uniform() -> None:
    scale, _ = _scale_and_shift(1, (2, 20_000), scale_jitter=0.0)
    torch.testing.assert_close(scale[0], scale[1])
    assert stats.kstest(scale[0], stats.uniform(1.0, 0.25).cdf).pvalue > 0.01


def test_shift_of_each_position_is_uniform_around_its_units() -> None:
    _, shift = _scale_and_shift(2, (400, 3, 6, 8))
    _, units = _scale_and_shift(2, (400, 3, 6, 8), shift_jitter=0.0)
    assert all(len(units[:, c].unique()) == 1 for c in range(3))
    jitter = (shift - units).flatten()
    assert stats.kstest(jitter, stats.uniform(-0.1, 0.2).cdf).pvalue > 0.01


def test_scale_of_each_position_is_normal_around_its_units() -> None:
    scale, _ = _scale_and_shift(2, (400, 3, 6, 8))
    units, _ = _scale_and_shift(2, (400, 3, 6, 8), scale_jitter=0.0)
    jitter = (scale - units).flatten()
    assert stats.kstest(jitter, stats.norm(0, 0.1).cdf).pvalue > 0.01


def test_every_position_has_its_own_draw() -> None:
    for draws in _scale_and_shift(3, (4, 2, 3, 3)):
        assert len(draws.unique()) > 0.99 * draws.numel()


def test_scale_and_shift_are_independent() -> None:
    scale, shift = _scale_and_shift(4, (2, 20_000))
    jitters = torch.stack([scale[0] - scale[1], shift[0] - shift[1]])
    assert torch.corrcoef(torch.cat([scale, shift]))[:2, 2:].abs().max() < 0.03
    assert torch.corrcoef(jitters)[0, 1].abs() < 0.03


def test_another_key_gives_other_units() -> None:
    one, other = (_scale_and_shift(key, (2, 50), shift_jitter=0.0)[1] for key in (1, 2))
    assert (one != other).all()


def test_noise_follows_the_batch_normalized_output() -> None:
    """What noisy_batch computes is the noise of what batch computes, γ and β included."""
    noisy, plain, noise = (make(name).features(3) for name in ("noisy_batch", "batch", "noise"))
    inputs = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    for module in (noisy, plain):
        for parameter, value in zip(module.parameters(), (2.0, 0.7), strict=True):
            torch.nn.init.constant_(parameter, value)
    for module in (noisy, noise):
        set_noise_key(module, 11)
    torch.testing.assert_close(noisy(inputs), noise(plain(inputs)), rtol=0, atol=0)


def test_noise_does_not_depend_on_the_memory_format() -> None:
    module = make("noise").features(4)
    inputs = torch.randn(3, 4, 5, 5)
    strided = inputs.contiguous(memory_format=torch.channels_last)
    outputs = module(strided)
    torch.testing.assert_close(outputs, module(inputs), rtol=0, atol=0)
    assert outputs.is_contiguous(memory_format=torch.channels_last)
    sliced = torch.stack([inputs, inputs], dim=2)[:, :, 1]
    assert not sliced.is_contiguous()
    torch.testing.assert_close(module(sliced), module(inputs), rtol=0, atol=0)


def test_noise_in_float32_is_that_in_float64_rounded() -> None:
    module = make("noise").features(4)
    inputs = torch.randn(3, 4, 5, 5, dtype=torch.float64).float()
    torch.testing.assert_close(
        module(inputs), module(inputs.double()).float(), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("key", [0, 2**63 - 1])
def test_all_keys_are_taken(key: int) -> None:
    _, shift = _scale_and_shift(key, (2, 3))
    assert shift.isfinite().all()
