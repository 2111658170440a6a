"""Exact means of batch statistics, which an evaluation can take in place of running averages."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.catalog.registry import parts
from tests.helpers.parts.normalizer_blocks import NAMES, block, inputs, make, stop_tracking

BATCHES = [inputs(seed=seed) for seed in range(3)]


def averaging(module: Any) -> list[Any]:
    return [child for child in module.modules() if hasattr(child, "exact_batches")]


def averages_of(module: Any) -> dict[str, Tensor]:
    """Floating-point buffers, as they are now."""
    floats = {k: v for k, v in module.named_buffers() if v.is_floating_point()}
    return deepcopy(floats)


NORMS = [name for name in NAMES if averaging(block(name, {}))]


@pytest.mark.parametrize("name", NAMES)
def test_those_can_whose_running_statistics_are_of_the_batch(name: str) -> None:
    """Spectral normalization's are of the weights alone."""
    moved = []
    for batch in BATCHES[:2]:
        torch.manual_seed(0)  # of the weights from which a power iteration begins
        module = block(name, {})
        module(batch)
        moved.append(averages_of(module))
    of_batch = any(not torch.equal(moved[0][key], moved[1][key]) for key in moved[0])
    assert of_batch == (name in NORMS)
    assert make(name).traits.running_stats >= of_batch


@pytest.mark.parametrize("name", NORMS)
def test_exact_means_are_those_of_single_batches(name: str) -> None:
    """A running average of momentum 1 is the newest batch's value; a mean of three is theirs."""
    single = []
    for batch in BATCHES:
        newest = block(name, {"momentum": 1.0}, fresh=True)
        outputs = newest(batch)
        single.append((outputs, averages_of(newest)))
    module = block(name, {})
    module(inputs(seed=9))  # what it held before must not matter
    before = averages_of(module)
    stop_tracking(module)
    for child in averaging(module):
        child.exact_batches = 0
    with torch.no_grad():
        for batch, (outputs, _) in zip(BATCHES, single, strict=True):
            torch.testing.assert_close(module(batch), outputs)
    assert {child.exact_batches for child in averaging(module)} == {len(BATCHES)}
    moved = {k for k, v in averages_of(module).items() if not torch.equal(v, before[k])}
    assert moved
    for key, value in averages_of(module).items():
        if key in moved:
            mean = torch.stack([buffers[key] for _, buffers in single]).mean(0)
            torch.testing.assert_close(value, mean)
            assert key.rpartition(".")[2].startswith("running_")


def test_every_ghost_counts() -> None:
    ghosts = [part for batch in BATCHES for part in batch.split(3)]
    module, plain = block("ghost_batch", {"ghost": 3}), block("batch", {})
    for each, shown in ((module, BATCHES), (plain, ghosts)):
        for child in averaging(each):
            child.exact_batches = 0
        with torch.no_grad():
            for batch in shown:
                each(batch)
    for key, value in averages_of(plain).items():
        torch.testing.assert_close(averages_of(module)[key], value)


@pytest.mark.parametrize("name", NORMS)
def test_afterwards_training_goes_on_with_running_averages(name: str) -> None:
    assert "momentum" in parts("normalizers")[name].options
    module = block(name, {})
    twin = deepcopy(module)
    held = averages_of(module)
    for child in averaging(module):
        child.exact_batches = 0
    stop_tracking(module)
    module(BATCHES[0])
    for child in averaging(module):
        child.exact_batches, child.track_running_stats = None, True
    module.load_state_dict(held, strict=False)
    assert torch.equal(module(BATCHES[1]), twin(BATCHES[1]))
    assert all(torch.equal(v, averages_of(twin)[k]) for k, v in averages_of(module).items())
