"""One probe's records on two devices, and how far they are apart.

``NORMSCOPE_GPU_TESTS_DEVICE=cpu`` runs the tests of this folder without a GPU. The second device is
then the CPU again, with weights and inputs off by their last bit. So a quantity that rounding alone
moves by more than its tolerance is found there too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.architectures import Network
from pipeline.catalog import registry as catalog
from pipeline.data import Batch, Dataset, Task
from pipeline.probes import _lanczos
from pipeline.probes._vectors import parameters
from pipeline.probes._view import Records, View, preserve_state
from pipeline.seeds import derive
from tests.helpers.training import views as views
from tests.helpers.training.fixtures import CHEAP, configurations

DEVICE = os.environ.get("NORMSCOPE_GPU_TESTS_DEVICE", "cuda")
SECOND = "nudged" if DEVICE == "cpu" else DEVICE
"""The device that is compared with the CPU; ``nudged``: the CPU, off by the last bit."""
IS_ABSENT = DEVICE == "cuda" and not torch.cuda.is_available()
GPU = [pytest.mark.gpu, pytest.mark.skipif(IS_ABSENT, reason="needs a CUDA device")]


def on_gpu(names: Iterable[str]) -> list[str]:
    """Names to parametrize a test with: without a GPU the first one, whose test is skipped."""
    return list(names)[: 1 if IS_ABSENT else None]


FAMILIES = ("vgg", "resnet", "densenet", "deep_linear")
NORMALIZERS = configurations()
PROBES = tuple(catalog.parts("probes"))
SMALL, TINY = 1e-6, 1e-12
"""An entry below this share of its column's largest, or this number, is compared with that."""
SHIFTS = ("mean_shift", "mean_shift_p90", "mean_shift_per_update", "mean_drift", "mean_drift_p90")
FLOORS: dict[str, float] = {**dict.fromkeys(SHIFTS, 1e-2), "gap_41": 1e-6, "gap_42": 1e-6}
"""In place of ``TINY``. Shifts are in units of σ: a mean that a normalizer sets to 0 moves by
rounding alone. Gaps are what is left of two equal sides, as a share of them."""


class Refused(str):
    """What a family says of a normalizer that it cannot have."""


def records_on(device: str, family: str, normalizer: str, probe: str) -> dict[str, Any] | Refused:
    """A probe's records of one step in float64, brought to the host."""
    view = _view(device, family, normalizer)
    if isinstance(view, Refused):
        return view
    function = catalog.load(catalog.parts("probes")[probe])
    with preserve_state(view.network):
        records = function(_anew(view, probe), **CHEAP.get(probe, {}))
    return on_host(records)


def on_host(records: Records) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, Tensor) else list(v) for k, v in records.items()}


def disagreements(
    found: Mapping[str, list[Any]], expected: Mapping[str, list[Any]], tolerance: float
) -> list[str]:
    """One line for each column whose entries are further apart than ``tolerance``, relatively.

    Words, missing entries (NaN) and infinities must be the same.
    """
    if found.keys() != expected.keys():
        return [f"columns {sorted(found)}, not {sorted(expected)}"]
    lines = []
    for name, values in expected.items():
        if len(found[name]) != len(values):
            lines.append(f"{name}: {len(found[name])} rows, not {len(values)}")
        elif (error := distance(found[name], values, FLOORS.get(name, TINY))) > tolerance:
            lines.append(f"{name}: off by {error:.1e}: {found[name]}, not {values}")
    return lines


def distance(found: list[Any], expected: list[Any], floor: float = TINY) -> float:
    """The largest relative distance of two columns; infinite where words or NaN differ."""
    if any(isinstance(value, str) for value in (*found, *expected)):
        return 0.0 if found == expected else np.inf
    a, b = (np.array(values, dtype=np.float64) for values in (found, expected))
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    a, b = a[finite], b[finite]
    if not a.size:
        return 0.0
    scale = np.maximum(np.abs(b), max(SMALL * np.abs(b).max(), floor))
    return float((np.abs(a - b) / scale).max())


@pytest.fixture
def alike_lanczos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Lanczos look at its residuals as seldom on a CPU as on a GPU: it ends at one product."""
    monkeypatch.setitem(_lanczos._LOOK_EVERY, "cpu", 4)


def network_on(
    device: str, family: str, normalizer: str, task: Task, dtype: torch.dtype = torch.float32
) -> Network | Refused:
    """A small network of a family, from the same draws on every device."""
    try:
        made = views.normalizer(NORMALIZERS[normalizer])
        return _moved(views.build(family, made, task, dtype), device)
    except ValueError as error:
        return Refused(error)


def moved_data(data: Dataset, device: str) -> Dataset:
    return data.to(torch.device(_place(device)))


def _place(device: str) -> str:
    return "cpu" if device == "nudged" else device


def _moved(network: Network, device: str) -> Network:
    """A network on a device, in the memory format of trials."""
    if device == "nudged":
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1 + torch.finfo(parameter.dtype).eps)
    network = network.to(_place(device))
    if len(network.task.input_shape) == 3:
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return network


@lru_cache(maxsize=2)
def _view(device: str, family: str, normalizer: str) -> View | Refused:
    """A second step in float64, from the same weights, batches and noise on every device."""
    data, made = views.data_of(family), views.normalizer(NORMALIZERS[normalizer])
    network = network_on(device, family, normalizer, data.task, torch.float64)
    if isinstance(network, Refused):
        return network
    batch, fixed = (_batch(each, device) for each in (data.batch, data.probe_batch))
    initial = parameters(network)
    views.take_step(network, fixed, 0.01, 0)
    return views.view_of_step(network, batch, fixed, 0.01, initial=initial, traits=made.traits)


def _batch(batch: Batch, device: str) -> Batch:
    place = _place(device)
    cast = views.cast(batch, torch.float64)
    off = 1 + torch.finfo(torch.float64).eps if device == "nudged" else 1.0
    return Batch(cast.inputs.to(place) * off, cast.targets.to(place))


def _anew(view: View, probe: str) -> View:
    """The view with nothing remembered or shared, and the probe's own generator."""
    rng = torch.Generator().manual_seed(derive(views.SEED, "probe", probe, view.step))
    return replace(view, rng=rng, memory={}, shared={})
