"""A monitor leaves no trace: a loop with it and one without it are bitwise the same."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_pre_hooks

from pipeline.catalog import registry as catalog
from pipeline.monitor.monitor import Monitor
from tests.helpers.training.fixtures import CHEAP, assert_same
from tests.pipeline.monitor.networks import LOOPS, LOSS, NETWORKS, data, made

PROBES = {n: {"at": [1], **CHEAP.get(n, {})} for n in catalog.parts("probes")}


def probes_for(name: str) -> dict[str, Any]:
    """All probes, but for theory where there is no batch normalization in training mode."""
    return {
        key: own for key, own in PROBES.items() if key != "batchnorm_theorems" or name == "nested"
    }


def state_of(network: nn.Module, others: dict[str, Any]) -> dict[str, Any]:
    return {
        "parameters": [p.detach().clone() for p in network.parameters()],
        "grads": [p.grad for p in network.parameters() if p.grad is not None],
        "buffers": dict(network.named_buffers()),
        "flags": [
            {k: v for k, v in vars(m).items() if isinstance(v, bool | int | float)}
            for m in network.modules()
        ],
        "hooks": [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in network.modules()],
        "modules": list(dict(network.named_modules())),
        "torch": torch.get_rng_state(),
        "python": str(random.getstate()),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "optimizer_hooks": len(_global_optimizer_pre_hooks),
        "grad_mode": torch.is_grad_enabled(),
        **others,
    }


def run(name: str, loop: str, monitor_at: Path | None) -> tuple[dict[str, Any], Monitor | None]:
    network = made(name)
    monitor = None
    if monitor_at:
        monitor = Monitor(
            network,
            LOSS,
            probes=probes_for(name),
            name="study",
            storage=str(monitor_at),
            samples=data(),
        )
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    others = LOOPS[loop](network, monitor)
    if monitor:
        monitor.finish()
    return state_of(network, others), monitor


CASES = [(name, "plain") for name in NETWORKS]
CASES += [("nested", loop) for loop in LOOPS if loop != "plain"] + [("dropout", "amp")]


@pytest.mark.parametrize(("name", "loop"), CASES, ids=map("-".join, CASES))
def test_a_loop_with_a_monitor_is_bitwise_the_same(name: str, loop: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    with_monitor, monitor = run(name, loop, tmp_path)
    assert_same(run(name, loop, None)[0], with_monitor)
    assert monitor is not None
    observer = monitor._observer
    assert observer is not None
    assert observer.unmeasured == {}
    assert set(observer.blocks) == set(probes_for(name))
