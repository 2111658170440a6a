"""Noise by counter on a GPU: that of a CPU, without a wait."""

from __future__ import annotations

import pytest
import torch

from pipeline.data._transfer import send
from pipeline.normalizers._ops.counter_random import uniform, uniform_and_normal, words
from tests.pipeline.gpu.agreement import DEVICE, GPU

pytestmark = GPU
LAST = [torch.contiguous_format, torch.channels_last]


def test_words_are_those_of_a_cpu():
    index = torch.arange(10_000)
    assert torch.equal(words(12345, index.to(DEVICE)).cpu(), words(12345, index))
    drawn = uniform(12345, 10_000, torch.device(DEVICE))
    assert torch.equal(drawn.cpu(), uniform(12345, 10_000, torch.device("cpu")))


@pytest.mark.parametrize("memory_format", LAST, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_noise_is_that_of_a_cpu(memory_format: torch.memory_format, dtype: torch.dtype):
    like = torch.zeros(8, 16, 9, 7, dtype=dtype)
    there = like.to(DEVICE).contiguous(memory_format=memory_format)
    flat, normal = uniform_and_normal(7, like, 32)
    found_flat, found_normal = (x.cpu() for x in uniform_and_normal(7, there, 32))
    assert torch.equal(found_flat, flat)
    # Logarithm and cosine differ between devices by their last bit.
    error = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(found_normal, normal, rtol=error, atol=error)


@pytest.mark.skipif(DEVICE != "cuda", reason="a CPU waits for nothing")
def test_draws_on_a_gpu_wait_for_nothing():
    there = torch.zeros(8, 16, 9, 7, device=DEVICE)
    uniform_and_normal(7, there, 32)
    torch.cuda.set_sync_debug_mode("error")
    try:
        uniform_and_normal(8, there, 32)
        sent = send(torch.arange(1000), there.device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sent.sum().item() == 499_500
