"""No probe waits for the device: seen without one, by the operations that would make the host wait.

On CUDA `torch.cuda.set_sync_debug_mode` says it of real kernels (see `test_curvature`,
`test_sharpness`); here every tensor operation of a probe is watched, in its backward passes too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.catalog import registry as catalog
from pipeline.probes._view import preserve_state
from tests.helpers.machines.meta_device import TO_HOST
from tests.helpers.training.views import view_of

OF_DATA = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2"}
"""Operations whose result, or its size, the host must read: `item`, `if tensor`, `x[mask]`, …"""
LOOKS = {"curvature": {}, "scale_invariant": {"blocks": 1}}
"""Probes whose Lanczos must look at its residuals to know whether to go on; options of one run."""


class Waits(TorchFunctionMode):
    """Counts what would make the host wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Counter[str]()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in TO_HOST or (name == "to" and "cpu" in map(str, args[1:])):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


class Kernels(TorchDispatchMode):
    """Counts the operations themselves, those of autograd's own included."""

    def __init__(self, seen: Counter[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in OF_DATA or (name == "index" and _by_mask(args[1])):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def _by_mask(places: Any) -> bool:
    return any(isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8) for x in places)


def waits(probe: str, norm: str, **options: Any) -> Counter[str]:
    """What a probe did at its second look at a step, when there is nothing left to set up."""
    view = view_of("resnet", norm, dtype=torch.float32)
    function = catalog.load(catalog.parts("probes")[probe])
    watched = Waits()
    with preserve_state(view.network):
        function(view, **options)
        view.shared.clear()
        with watched, Kernels(watched.seen):
            function(view, **options)
    return watched.seen


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("probe", sorted({*catalog.parts("probes")} - {*LOOKS}))
def test_probe_waits_for_nothing(probe: str, norm: str):
    assert not waits(probe, norm)


@pytest.mark.parametrize("probe", sorted(LOOKS))
def test_lanczos_looks_once_a_product(probe: str):
    """On a CPU; on a GPU after every fourth. A look brings two small tensors to the host."""
    one, three = (
        waits(probe, "batch", products=products, tolerance=1e-12, **LOOKS[probe])["cpu"]
        for products in (1, 3)
    )
    assert (one, three) == (2, 6)


@pytest.mark.parametrize(
    "waiting",
    [
        lambda x: x[x > 0],
        lambda x: x.sum().item(),
        lambda x: 1 if x.sum() > 0 else 0,
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: x.nonzero(),
    ],
)
def test_the_watch_sees(waiting: Any):
    watched = Waits()
    with watched, Kernels(watched.seen):
        waiting(torch.ones(3))
    assert watched.seen
