"""Probes leave no trace of having looked: training with and without them is bitwise the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pipeline.training.loop import _Loop
from tests.helpers.training.fixtures import (
    ALL,
    DEVICES,
    assert_same,
    configurations,
    dataset,
    loop_of,
    network_of,
    settings,
)

EVAL = {
    name: settings | {"mode": "eval", "batch": "probe"}
    for name, settings in ALL.items()
    if name != "batchnorm_theorems"  # refuses it
}


def run(probes: dict[str, Any], config: list[Any], device: str = "cpu", **training: Any) -> _Loop:
    """Train a network with these probes, from a known state of the global generators."""
    torch.manual_seed(11)
    cell = settings(probes, config, **training)
    loop = loop_of(cell, dataset(device), network_of(config, device))
    loop.run()
    return loop


def state_of(loop: _Loop) -> dict[str, Any]:
    """All that a run has left behind, but its records of probes."""
    modules = list(loop.network.modules())
    return {
        "network": loop.network.state_dict(),
        "grads": [parameter.grad for parameter in loop.network.parameters()],
        "optimizer": loop.optimizer.state_dict(),
        "curve": loop.outcome.curve,
        "evaluations": loop.outcome.evaluations,
        "modes": [module.training for module in modules],
        "tracking": [getattr(module, "track_running_stats", None) for module in modules],
        "noise": [getattr(module, "noise_key", None) for module in modules],
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "grad_mode": torch.is_grad_enabled(),
    }


@pytest.mark.sampled("batch", "noisy_batch", "spectral_norm")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("config", configurations().values(), ids=list(configurations()))
def test_probes_leave_no_trace(config: list[Any], device: str):
    ends = []
    for probes in ({}, ALL):
        loop = run(probes, config, device)
        ends.append(state_of(loop))
        # Theory measures batch normalization layers, which not every network has.
        blocks = {n: len(b) for n, b in loop.outcome.probes.items()}
        assert {"batchnorm_theorems": 1} | blocks == {"batchnorm_theorems": 1} | dict.fromkeys(
            probes, 1
        )
    assert_same(*ends)


@pytest.mark.sampled("batch", "noisy_batch")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("config", configurations().values(), ids=list(configurations()))
def test_probes_in_evaluation_mode_leave_no_trace(config: list[Any], device: str):
    without, observed = (state_of(run(probes, config, device)) for probes in ({}, EVAL))
    assert_same(without, observed)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_no_trace_under_adam(optimizer: str):
    without, observed = (
        state_of(run(probes, ["batch"], optimizer=optimizer)) for probes in ({}, ALL)
    )
    assert_same(without, observed)
