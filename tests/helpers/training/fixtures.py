"""A small network in training, for the tests of what probes see and leave behind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from pipeline.architectures import Network
from pipeline.catalog import registry as catalog
from pipeline.data import Dataset, Split, Task
from pipeline.probes._view import Records, View
from pipeline.training.initialization import initialize
from pipeline.training.loop import _Loop
from tests.helpers.training.views import NORMALIZERS, normalizer

OPTIONS: dict[str, dict[str, Any]] = {
    "decorrelated_batch": {"channels_per_group": 2},
    "evonorm_s0": {"groups": 2},
    "group": {"groups": 2},
}
"""Options that a normalizer needs on a few channels."""

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]

CHEAP: dict[str, dict[str, Any]] = {
    "curvature": {"products": 3, "ends": "both", "trace_samples": 1},
    "scale_invariant": {"blocks": 1, "products": 3},
    "sharpness": {"directions": 1, "steps": 1},
    "gradient_ics": {"parameters": "all"},
    "landscape": {"lengths": 1, "ranges": ["relative"], "directions": ["gradient", "random"]},
}
"""Options other than the defaults of a probe, that cost less or touch more."""


def configurations() -> dict[str, list[Any]]:
    """Every normalizer of the catalog, and a composition."""
    names = catalog.parts("normalizers")
    found = {name: [{"name": name, **OPTIONS.get(name, {})}] for name in names}
    return found | {"composition": NORMALIZERS["weight_standardization+group"]}


def probe_settings(name: str, **changes: Any) -> dict[str, Any]:
    """A probe's settings in full, as a sweep file gives them, by default at every step."""
    given = {"name": name, "every": 1, **CHEAP.get(name, {}), **changes}
    settings = catalog.resolve("probes", given, "")
    del settings["name"]
    return settings


ALL = {name: probe_settings(name, every=None, at=[1]) for name in catalog.parts("probes")}
"""Every probe of the catalog, at the middle one of three steps."""

PROBES = {name: probe_settings(name) for name in ("gradient_ics", "moment_ics", "landscape")}

TRAINING: dict[str, Any] = {
    "steps": 3,
    "batch_size": 12,
    "optimizer": "sgd",
    "lr": 0.01,
    "momentum": 0.9,
    "weight_decay": 0.01,
    "betas": [0.9, 0.999],
    "schedule": "cosine",
    "warmup_steps": 0,
    "milestones": [],
    "decay": 0.1,
    "precision": "float32",
    "augment": [],
    "evaluate_every": 2,
    "evaluate_samples": None,
    "divergence_factor": 1e30,
}


def settings(
    probes: Mapping[str, Any], normalizers: list[Any] | None = None, **training: Any
) -> dict[str, Any]:
    """A cell's settings. Probes are told the traits of the normalizers (of none by default)."""
    parts = [{"name": n} if isinstance(n, str) else n for n in normalizers or ["none"]]
    return {
        "training": TRAINING | training,
        "normalizer": parts,
        "probes": dict(probes),
        "seed": 3,
    }


def dataset(device: str = "cpu") -> Dataset:
    """Forty small images: fewer than a probe batch usually has."""
    generator = torch.Generator().manual_seed(0)

    def split() -> Split:
        images = torch.randint(256, (40, 1, 8, 8), generator=generator, dtype=torch.uint8)
        return Split(images, torch.randint(5, (40,), generator=generator))

    return Dataset(
        task=Task(loss="cross_entropy", input_shape=(1, 8, 8), outputs=5),
        train=split(),
        validation=split(),
        test=split(),
        mean=torch.full((1,), 0.5),
        std=torch.full((1,), 0.3),
        digest="",
    ).to(torch.device(device))


def network_of(config: list[Any], device: str = "cpu") -> Network:
    norm = normalizer(config)
    build = catalog.load(catalog.parts("architectures")["resnet"])
    network = build(dataset().task, norm, depth=8, width=0.25)
    initialize(network, norm, "he", 3)
    return network.to(device).to(memory_format=torch.channels_last)


def loop_of(settings: dict[str, Any], dataset: Dataset, network: Network) -> _Loop:
    return _Loop(settings, dataset, network, checkpoints=None, time_limit=math.inf)


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal, tensors bitwise."""
    assert type(a) is type(b), where
    if isinstance(a, Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}.{index}")
    else:
        assert a == b, where


def views_of(
    network: Network,
    probes: list[str],
    changes: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    **training: Any,
) -> dict[str, list[View]]:
    """What each probe is shown in a run, with the gradients as they were then."""
    given = {name: PROBES[name] | changes.get(name, {}) for name in probes}
    loop = loop_of(settings(given, **training), dataset(), network)
    shown: dict[str, list[View]] = {name: [] for name in probes}

    def keep(name: str) -> Any:
        def probe(view: View) -> Records:
            shown[name].append(view)
            view.memory["calls"] = view.memory.get("calls", 0) + 1
            return {"calls": [view.memory["calls"]], "value": view.loss_value[None]}

        return probe, {}

    for name in probes:
        loop.observer._functions[name] = keep(name)
    loop.run()
    return shown
