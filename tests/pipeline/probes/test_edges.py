"""What must not make a probe raise: odd numbers, sizes, types and layouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.probes._view import Records, View, preserve_state
from pipeline.probes.batchnorm_theorems import batchnorm_theorems
from pipeline.probes.distribution_ics import distribution_ics
from pipeline.probes.gradient_ics import gradient_ics
from pipeline.probes.gradient_noise import gradient_noise
from pipeline.probes.landscape import landscape
from pipeline.probes.moment_ics import moment_ics
from pipeline.probes.signal_propagation import signal_propagation
from tests.helpers.training import views as views
from tests.helpers.training.views import view_of

Probe = Callable[[View], Records]


def all_lines(view: View) -> Records:
    return landscape(
        view,
        lengths=2,
        ranges=("lr", "common", "relative"),
        directions=("gradient", "random"),
    )


PROBES: dict[str, Probe] = {
    "gradient": gradient_ics,
    "moment": moment_ics,
    "distribution": distribution_ics,
    "landscape": all_lines,
    "gradient_noise": gradient_noise,
    "signal_propagation": signal_propagation,
    "batchnorm_theorems": batchnorm_theorems,
}
EACH = pytest.mark.parametrize("probe", PROBES.values(), ids=list(PROBES))


def observed(probe: Probe, view: View) -> dict[str, Any]:
    with preserve_state(view.network):
        return dict(probe(replace(view, rng=torch.Generator().manual_seed(0))))


def columns(records: dict[str, Any]) -> Tensor:
    found = [column.double() for column in records.values() if isinstance(column, Tensor)]
    return torch.stack(found) if found else torch.empty(0)  # theory without batch normalization


@EACH
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("norm", ["none", "noisy_batch", "weight", "weight_standardization+group"])
def test_diverged_parameters(probe: Probe, norm: str, value: float):
    view = view_of("vgg", norm, dtype=torch.float32)
    gone = {name: torch.full_like(tensor, value) for name, tensor in view.before.items()}
    with torch.no_grad():
        for name, parameter in view.network.named_parameters():
            parameter.copy_(gone[name])
    sizes = {len(c) for c in observed(probe, replace(view, before=gone, after=gone)).values()}
    assert len(sizes) == 1


@EACH
def test_layout_changes_nothing(probe: Probe):
    data = views.images()
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = views.build("vgg", views.normalizer(["batch"]), data.task, torch.float64)
        network = network.to(memory_format=layout)  # pyright: ignore
        batches = [
            b._replace(inputs=b.inputs.contiguous(memory_format=layout))
            for b in (data.batch, data.probe_batch)
        ]
        batch, probe_batch = (views.cast(b, torch.float64) for b in batches)
        view = views.view_of_step(network, batch, probe_batch, 0.01)
        found.append(columns(observed(probe, view)))
    assert torch.allclose(found[0], found[1], rtol=1e-7, atol=1e-10, equal_nan=True)


@EACH
@pytest.mark.parametrize("norm", ["batch", "noisy_batch", "none"])
def test_maps_of_one_pixel(probe: Probe, norm: str):
    view = view_of("vgg", norm, data=views.images(samples=4, size=1))
    records = observed(probe, view)
    assert columns({k: v for k, v in records.items() if k != "per_update"}).isfinite().all()


@EACH
@pytest.mark.parametrize("samples", [2, 3])
def test_few_samples(probe: Probe, samples: int):
    view = view_of("vgg", "batch", data=views.images(samples=samples))
    assert columns(observed(probe, view))[0].isfinite().any()


@pytest.mark.parametrize("probe", [gradient_ics, moment_ics, landscape])
def test_float32_is_near_float64(probe: Probe):
    """Within 1 % of the scale of each column: what a difference of two gradients loses."""
    single, double = (
        columns(observed(probe, view_of("vgg", dtype=dtype)))
        for dtype in (torch.float32, torch.float64)
    )
    scale = double.nan_to_num().abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
    assert torch.allclose(single / scale, double / scale, rtol=0, atol=0.01, equal_nan=True)
