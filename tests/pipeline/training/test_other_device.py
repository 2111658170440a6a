"""Training and probes on another device than the host: nothing is left behind, nothing waits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.catalog import registry as catalog
from pipeline.data import Batch
from pipeline.probes._view import preserve_state
from pipeline.training.loop import train
from tests.helpers.machines.meta_device import away
from tests.helpers.training import views as views
from tests.helpers.training.fixtures import (
    CHEAP,
    configurations,
    dataset,
    network_of,
    probe_settings,
    settings,
)

LOOKS = {
    "_objective.chance_loss",  # of the training split, once
    "loop._check_divergence",  # at losses, for one that has exploded
    "evaluation.evaluate",
    "probe_runner._on_host",  # a probe's records, when it has ended
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
        with preserve_state(network):
            records = catalog.load(catalog.parts("probes")[probe])(view, **CHEAP.get(probe, {}))
    assert {x.device.type for x in records.values() if isinstance(x, Tensor)} <= {"meta"}
    assert set(waits) <= {name for name in LOOKS if name.startswith("_lanczos")}


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("family", views.FAMILIES)
def test_second_derivatives_give_cuda_kernels_what_they_ask_for(family: str, affine: bool):
    made = views.normalizer([{"name": "batch", "affine": affine}])
    data = views.data_of(family)
    network = views.build(family, made, data.task, torch.float32).to("meta")
    if family != "deep_linear":
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    batch = Batch(*(x.to("meta") for x in data.batch))
    with away():
        view = views.view_of_step(network, batch, batch, 0.01, traits=made.traits)
        with preserve_state(network):
            records = catalog.load(catalog.parts("probes")["curvature"])(view, products=2)
    assert isinstance(records["lambda_max"], Tensor)
    assert records["lambda_max"].is_meta


def _pooled_backward() -> None:
    """Indices of a contiguous map, for a channels_last one."""
    maps = torch.ones(2, 3, 4, 4, device="meta")
    pooled, places = torch.ops.aten.max_pool2d_with_indices(maps, [2, 2])
    other = maps.contiguous(memory_format=torch.channels_last)
    options = ([2, 2], [2, 2], [0, 0], [1, 1], False)
    torch.ops.aten.max_pool2d_with_indices_backward(pooled, other, *options, places)


def _batch_norm_backward(mask: list[bool]) -> None:
    x, moment = torch.ones(2, 3, device="meta"), torch.ones(3, device="meta")
    parts = (x, x, None, None, None, moment, moment, True, 1e-5, mask)
    torch.ops.aten.native_batch_norm_backward(*parts)


def _convolution_backward() -> None:
    x, kernel = torch.ones(2, 3, 4, 4, device="meta"), torch.ones(5, 3, 1, 1, device="meta")
    y = torch.convolution(x, kernel, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    options = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    torch.ops.aten.convolution_backward(y, x, kernel, None, *options, [True, True, True])


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: _batch_norm_backward([True, True, False]), "no weight to be like"),
        (lambda: _batch_norm_backward([False, False, True]), "no weight to be like"),
        (_convolution_backward, "the bias has no sizes"),
        (_pooled_backward, "not laid out as the input"),
    ],
)
def test_the_watch_refuses_what_cuda_kernels_refuse(call: Any, rule: str):
    with away(), pytest.raises(AssertionError, match=rule):
        call()


def test_the_watch_lets_pass_what_cuda_kernels_accept():
    with away():
        _batch_norm_backward([True, False, False])


@pytest.mark.sampled("batch", "noisy_batch")
@pytest.mark.parametrize("config", configurations().values(), ids=list(configurations()))
def test_training_stays_on_the_device(config: list[Any]):
    """A step, an evaluation, and a probe that runs the normalizer forward and backward anew."""
    network, data = network_of(config, "meta"), dataset("meta")
    probes = {"gradient_noise": probe_settings("gradient_noise")}
    with away() as waits:
        outcome = train(settings(probes, config, steps=1), data, network)
    assert (outcome.curve["step"], len(outcome.probes["gradient_noise"])) == ([0], 1)
    assert all(x.is_meta for x in (*network.parameters(), *network.buffers()))
    assert set(waits) <= LOOKS


def test_losses_are_looked_at_seldom():
    steps = 40
    with away() as waits:
        train(settings({}, ["batch"], steps=steps), dataset("meta"), network_of(["batch"], "meta"))
    assert 0 < waits["loop._check_divergence"] < steps / 4


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
    "draw",
    [
        lambda: torch.randn(3, device="meta"),
        lambda: torch.randperm(3, device="meta"),
        lambda: torch.empty(3, device="meta").uniform_(),
        lambda: torch.ones(3, device="meta").bernoulli(),
        lambda: nn.functional.dropout(torch.ones(3, device="meta")),
    ],
)
def test_the_watch_refuses_draws_on_the_device(draw: Any):
    with away(), pytest.raises(AssertionError, match="drawn on the host"):
        draw()


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
