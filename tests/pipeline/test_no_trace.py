"""Probes leave no trace of having looked: training with and without them is bitwise the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pipeline import catalog
from pipeline.training import _Loop
from tests.pipeline.observed import (
    ALL,
    DEVICES,
    OPTIONS,
    assert_same,
    dataset,
    loop_of,
    network_of,
    settings,
)
from tests.pipeline.probes.views import NORMALIZERS

EVAL = {
    name: settings | {"mode": "eval", "batch": "probe"}
    for name, settings in ALL.items()
    if name != "theory"  # refuses it
}


def state_after(loop: _Loop) -> dict[str, Any]:
    """All that a run leaves behind, but its records of probes."""
    loop.run()
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


def configurations() -> dict[str, list[Any]]:
    """Every normalizer of the catalog, and a composition."""
    names = catalog.parts("normalizers")
    found = {name: [{"name": name, **OPTIONS.get(name, {})}] for name in names}
    return found | {"composition": NORMALIZERS["weight_standardization+group"]}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("config", configurations().values(), ids=list(configurations()))
def test_probes_leave_no_trace(config: list[Any], device: str):
    ends = []
    for probes in ({}, ALL):
        torch.manual_seed(11)
        loop = loop_of(settings(probes, config), dataset(device), network_of(config, device))
        ends.append(state_after(loop))
        # Theory measures batch normalization layers, which not every network has.
        blocks = {n: len(b) for n, b in loop.outcome.probes.items()}
        assert {"theory": 1} | blocks == {"theory": 1} | dict.fromkeys(probes, 1)
    assert_same(*ends)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("config", configurations().values(), ids=list(configurations()))
def test_probes_in_evaluation_mode_leave_no_trace(config: list[Any], device: str):
    ends = []
    for probes in ({}, EVAL):
        torch.manual_seed(11)
        loop = loop_of(settings(probes, config), dataset(device), network_of(config, device))
        ends.append(state_after(loop))
    assert_same(*ends)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_no_trace_under_adam(optimizer: str):
    ends = []
    for probes in ({}, ALL):
        torch.manual_seed(11)
        cell = settings(probes, ["batch"], optimizer=optimizer)
        loop = loop_of(cell, dataset(), network_of(["batch"]))
        ends.append(state_after(loop))
    assert_same(*ends)
