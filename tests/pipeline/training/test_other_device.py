"""Training and probes on another device than the host: nothing is left behind, nothing waits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.catalog import registry as catalog
from pipeline.data import Batch
from pipeline.probes import _view as measure
from pipeline.training.loop import train
from tests.helpers import view_fixtures as views
from tests.helpers.meta_device import away
from tests.helpers.training_fixtures import (
    CHEAP,
    configurations,
    dataset,
    network_of,
    probe_settings,
    settings,
)

LOOKS = {
    "batches._fixed",  # the probe batch, once
    "training._look",  # at losses, for one that has exploded
    "evaluation.evaluate",
    "observation._on_host",  # a probe's records, when it has ended
    "_lanczos.lanczos",  # at the residuals
    "_lanczos._extremes",  # the small problem's solution, back to the device
}
"""Where the host may wait."""


@pytest.mark.parametrize("norm", ["none", "batch", "weight_standardization+group"])
@pytest.mark.parametrize("probe", catalog.parts("probes"))
def test_probe_stays_on_the_device(probe: str, norm: str):
    made, data = views.normalizer(views.NORMALIZERS[norm]), views.images()
    network = views.build("resnet", made, data.task, torch.float32).to("meta")
    batch, fixed = (Batch(*(x.to("meta") for x in b)) for b in (data.batch, data.probe_batch))
    with away() as waits:
        view = views.view_of_step(network, batch, fixed, 0.01, traits=made.traits)
        with measure.untouched(network):
            records = catalog.load(catalog.parts("probes")[probe])(view, **CHEAP.get(probe, {}))
    assert {x.device.type for x in records.values() if isinstance(x, Tensor)} <= {"meta"}
    assert set(waits) <= {name for name in LOOKS if name.startswith("_lanczos")}


@pytest.mark.parametrize("config", configurations().values(), ids=list(configurations()))
def test_training_stays_on_the_device(config: list[Any]):
    """A step, an evaluation, and a probe that runs the normalizer forward and backward anew."""
    network, data = network_of(config, "meta"), dataset("meta")
    probes = {"noise": probe_settings("noise")}
    with away() as waits:
        outcome = train(settings(probes, config, steps=1), data, network)
    assert (outcome.curve["step"], len(outcome.probes["noise"])) == ([0], 1)
    assert all(x.is_meta for x in (*network.parameters(), *network.buffers()))
    assert set(waits) <= LOOKS


def test_losses_are_looked_at_seldom():
    steps = 40
    with away() as waits:
        train(settings({}, ["batch"], steps=steps), dataset("meta"), network_of(["batch"], "meta"))
    assert 0 < waits["training._look"] < steps / 4


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x, y: x + y,
        lambda x, y: x @ y,
        lambda x, y: nn.functional.conv2d(x[None, None], y[None, None]),
        lambda x, y: torch.stack([x, y]),
        lambda x, y: x[y.long()],
        lambda x, y: x.take(y.long()),
    ],
)
def test_the_watch_refuses_two_devices(mixed: Any):
    with away(), pytest.raises((AssertionError, RuntimeError)):
        mixed(torch.ones(3, 3, device="meta"), torch.ones(3, 3))


@pytest.mark.parametrize(
    "waiting",
    [
        lambda x: x.sum().item(),
        lambda x: 1 if x.sum() > 0 else 0,
        lambda x: x.tolist(),
        lambda x: torch.ones(3).to(x.device),
        lambda x: x.copy_(torch.ones(3)),
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: x.new_tensor([1.0]),
    ],
)
def test_the_watch_sees_the_host_wait(waiting: Any):
    with away() as waits:
        waiting(torch.ones(3, device="meta"))
    assert waits.total() == 1
