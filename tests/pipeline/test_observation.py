"""Probes in the training loop: they see the right step, and leave no trace of having looked."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline import catalog, measure
from pipeline.architectures import Network
from pipeline.batches import augmented, probe_batch
from pipeline.data import Dataset, Split, Task
from pipeline.initialization import initialize
from pipeline.measure import View
from pipeline.objective import objective
from pipeline.observation import Observer
from pipeline.probes.gradient_ics import gradient_ics
from pipeline.training import _Loop, train
from tests.pipeline.probes.views import NORMALIZERS, normalizer

OPTIONS: dict[str, dict[str, Any]] = {
    "decorrelated_batch": {"channels_per_group": 2},
    "evonorm_s0": {"groups": 2},
    "group": {"groups": 2},
}
"""Options that a normalizer needs on a few channels."""

PAST_WARMUP: dict[str, dict[str, Any]] = {
    "batch_renorm": {"relax_from": 0, "r_max_at": 1, "d_max_at": 1},
    "moving_average_batch": {"window": 2, "warmup": 0, "r_from": 0},
    "power": {"warmup": 0},
}
"""Options with which a normalizer's forward depends on its past from the first steps on."""

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CHEAP: dict[str, dict[str, Any]] = {
    "curvature": {"products": 3, "ends": "both", "trace_samples": 1},
    "scale_free": {"blocks": 1, "products": 3},
    "sharpness": {"directions": 1, "steps": 1},
    "gradient_ics": {"parameters": "all"},
    "landscape": {"lengths": 1, "ranges": ["relative"], "directions": ["gradient", "random"]},
}
"""Options other than the defaults of a probe, that cost less or touch more."""


def probe_settings(name: str, **changes: Any) -> dict[str, Any]:
    """A probe's settings in full, as a sweep file gives them, by default at every step."""
    given = {"name": name, "every": 1, **CHEAP.get(name, {}), **changes}
    settings = catalog.resolve("probes", given, "")
    del settings["name"]
    return settings


ALL = {name: probe_settings(name, every=None, at=[1]) for name in catalog.parts("probes")}
"""Every probe of the catalog, at the middle one of three steps."""
PROBES = {name: probe_settings(name) for name in ("gradient_ics", "moment_ics", "landscape")}
EVAL = {
    name: settings | {"mode": "eval", "batch": "probe"}
    for name, settings in ALL.items()
    if name != "theory"  # refuses it
}
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
    "augment": [],
    "evaluate_every": 2,
    "evaluate_samples": None,
    "explode": 1e30,
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
        def probe(view: View) -> measure.Records:
            shown[name].append(view)
            view.memory["calls"] = view.memory.get("calls", 0) + 1
            return {"calls": [view.memory["calls"]], "value": view.value[None]}

        return probe, {}

    for name in probes:
        loop.observer._functions[name] = keep(name)
    loop.run()
    return shown


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("norm", ["noisy_batch", "weight"])
def test_view_is_of_one_step(norm: str, optimizer: str):
    """Weight decay and momentum are in the update, and not in the gradient."""
    network = network_of([norm])
    start = measure.parameters(network)
    views = views_of(network, ["moment_ics"], optimizer=optimizer)["moment_ics"]
    assert [view.step for view in views] == [0, 1, 2]
    for earlier, later in pairwise(views):
        assert_same(earlier.after, later.before)
        assert_same(earlier.initial, start)
        assert earlier.lr > later.lr > 0
    assert_same(views[0].before, start)
    assert_same(views[-1].after, measure.parameters(network))
    last = views[-1]
    measure.set_noise(network, last.seed, last.step)
    leaves = measure.leaves(last.before)
    with measure.untouched(network):
        loss = last.loss(leaves, last.batch)
    gradient = torch.autograd.grad(loss, list(leaves.values()))
    assert torch.equal(loss, last.value)
    assert_same(last.grad, dict(zip(leaves, gradient, strict=True)))


@pytest.mark.parametrize("name", catalog.parts("normalizers"))
def test_probes_see_the_function_that_was_trained(name: str):
    """Also where the step has moved what its own forward depended on, such as running averages."""
    network = network_of([{"name": name, **OPTIONS.get(name, {}), **PAST_WARMUP.get(name, {})}])
    loop = loop_of(settings({"gradient_ics": PROBES["gradient_ics"]}), dataset(), network)
    losses: list[Tensor] = []

    def probe(view: View) -> measure.Records:
        losses.append(view.loss(view.before, view.batch))
        assert torch.equal(losses[-1], view.value)
        return gradient_ics(replace(view, after=view.before))

    loop.observer._functions["gradient_ics"] = (probe, {})
    loop.run()
    for block in loop.outcome.probes["gradient_ics"]:
        assert block["l2"] == [0] * len(block["l2"])
    assert len(losses) == 3


def test_probe_batch_is_fixed_and_small_enough():
    data = dataset()
    views = views_of(network_of(["batch"]), ["moment_ics"])["moment_ics"]
    expected = probe_batch(data, 40)
    assert all(torch.equal(view.probe_batch.inputs, expected.inputs) for view in views)
    assert len({id(view.batch.inputs) for view in views}) == 3


def test_full_batch():
    views = views_of(network_of(["batch"]), ["moment_ics"], batch_size=None)["moment_ics"]
    assert all(len(view.batch.targets) == 40 for view in views)


def test_generators_and_memories_are_each_probes_own():
    def run() -> dict[str, list[View]]:
        return views_of(network_of(["none"]), ["moment_ics", "landscape"])

    first, again = run(), run()
    seeds = [v.rng.initial_seed() for views in first.values() for v in views]
    assert len(set(seeds)) == 6
    assert seeds == [v.rng.initial_seed() for views in again.values() for v in views]
    assert all(views[-1].memory == {"calls": 3} for views in first.values())


def test_the_order_of_probes_in_the_file_changes_nothing():
    """The cell id does not know it either."""
    names = ["scale_free", "curvature", "landscape"]
    probes = {name: probe_settings(name) for name in names}
    found = [
        train(settings(dict(given)), dataset(), network_of(["batch"])).probes
        for given in (probes.items(), reversed(probes.items()))
    ]
    for name in names:
        assert repr(found[0][name]) == repr(found[1][name])  # NaN is not itself
    assert math.isfinite(found[0]["scale_free"][0]["eta_lambda_max"][0])


def test_records_have_their_step_and_the_time_is_kept():
    steps = {"gradient_ics": [0, 2], "moment_ics": [1]}
    probes = {name: probe_settings(name, every=None, at=at) for name, at in steps.items()}
    outcome = train(settings(probes), dataset(), network_of(["batch"]))
    for name, at in steps.items():
        blocks = outcome.probes[name]
        assert [block["step"] for block in blocks] == [[t] * len(blocks[0]["layer"]) for t in at]
        assert all(len(column) == len(b["step"]) for b in blocks for column in b.values())
        assert outcome.probe_seconds[name] > 0
    assert outcome.probe_memory == dict.fromkeys(steps)


def test_copies_are_made_only_where_a_probe_is_due():
    probes = {"moment_ics": probe_settings("moment_ics", every=None, at=[2])}
    observer = Observer(settings(probes), dataset(), network_of(["none"]))
    assert [observer.due(step) for step in range(3)] == [False, False, True]
    assert not Observer(settings({}), dataset(), network_of(["none"])).due(0)


@pytest.mark.parametrize("norm", ["none", "noisy_batch", "weight_standardization+group"])
@pytest.mark.parametrize("lr", [1e4, 1e30])
def test_a_run_that_diverges_is_observed_to_its_end(norm: str, lr: float):
    training = {"lr": lr, "explode": float("inf"), "momentum": 0.0}
    probes = {name: probe | {"every": 1} for name, probe in ALL.items()}
    cell = settings(probes, NORMALIZERS[norm], **training)
    outcome = train(cell, dataset(), network_of(NORMALIZERS[norm]))
    seen = 3 if outcome.diverged_step is None else min(outcome.diverged_step + 1, 3)
    assert {len(blocks) for blocks in outcome.probes.values()} == {seen}


def test_a_parameter_without_a_gradient_has_gradient_zero():
    network = network_of(["none"])
    network.get_submodule("stem").register_parameter("unused", nn.Parameter(torch.ones(2)))
    shown = views_of(network, ["moment_ics"])["moment_ics"]
    assert shown[0].grad["stem.unused"].tolist() == [0, 0]
    outcome = train(settings(PROBES), dataset(), network)
    assert all(value > 0 for value in outcome.probes["gradient_ics"][0]["gradient_norm"])


def test_negative_steps_count_from_the_end():
    probes = {"moment_ics": probe_settings("moment_ics", every=None, at=[-1])}
    (block,) = train(settings(probes), dataset(), network_of(["none"])).probes["moment_ics"]
    assert set(block["step"]) == {2}


def test_batch_size_of_the_probe_batch():
    sizes = {"moment_ics": {"batch_size": 20}, "gradient_ics": {"batch_size": 21}}
    shown = views_of(network_of(["none"]), list(sizes), sizes)
    small, large = shown["moment_ics"][0], shown["gradient_ics"][0]
    assert (len(small.probe_batch.targets), len(large.probe_batch.targets)) == (20, 21)
    assert torch.equal(small.probe_batch.inputs, large.probe_batch.inputs[:20])
    assert small.other_batch is not None
    assert torch.equal(small.other_batch.inputs, probe_batch(dataset(), 40).inputs[20:])
    assert large.other_batch is None
    with pytest.raises(ValueError, match="between 1 and 40 samples"):
        views_of(network_of(["none"]), ["moment_ics"], {"moment_ics": {"batch_size": 41}})


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("norm", catalog.parts("normalizers"))
def test_loss_and_gradient_are_those_of_the_mode_and_batch_asked_for(norm: str, mode: str):
    """Of a copy of the network, put into that mode by hand."""
    config = {"name": norm, **OPTIONS.get(norm, {})}
    asked = {"moment_ics": probe_settings("moment_ics", mode=mode, batch="probe")}
    loop = loop_of(settings(asked, [config], steps=2), dataset(), network_of([config]))
    calls: list[View] = []

    def probe(view: View) -> measure.Records:
        calls.append(view)
        assert (view.mode, view.batch) == (mode, view.probe_batch)
        assert view.traits == normalizer([config]).traits
        twin = copy.deepcopy(view.network).train(mode == "train")
        twin.load_state_dict(view.before, strict=False)
        loss = objective(twin.task, twin(view.batch.inputs), view.batch.targets)
        loss.backward()
        assert torch.equal(loss, view.value)
        assert_same({n: p.grad for n, p in twin.named_parameters()}, dict(view.grad))
        return {"value": [0.0]}

    loop.observer._functions["moment_ics"] = (probe, {})
    loop.run()
    assert len(calls) == 2


def test_evaluation_mode_uses_running_statistics_and_no_noise():
    """The outputs of a probe's function are those that an evaluation at that moment has."""
    network = network_of(["noisy_batch"])
    loop = loop_of(
        settings({"moment_ics": probe_settings("moment_ics", mode="eval")}), dataset(), network
    )
    seen: list[Tensor] = []

    def probe(view: View) -> measure.Records:
        seen.append(view.loss(view.after, view.probe_batch))
        with torch.no_grad():
            network.eval()
            outputs = network(view.probe_batch.inputs)
        assert torch.equal(objective(network.task, outputs, view.probe_batch.targets), seen[-1])
        return {"value": [0.0]}

    loop.observer._functions["moment_ics"] = (probe, {})
    loop.run()
    assert len(seen) == 3


def test_probes_that_see_the_same_share_and_others_do_not():
    asked = {"gradient_ics": {}, "moment_ics": {}, "landscape": {"mode": "eval"}}
    shown = views_of(network_of(["batch"]), list(asked), asked)
    for own, same, other in zip(*shown.values(), strict=True):
        assert own.shared is same.shared
        assert own.shared is not other.shared
    assert shown["gradient_ics"][0].shared is not shown["gradient_ics"][1].shared


def test_drawn_batches_are_the_generators_and_augmented_as_the_steps():
    asked = {"gradient_ics": {}, "moment_ics": {"batch": "probe"}}
    own, fixed = (
        views[0]
        for views in views_of(
            network_of(["none"]), list(asked), asked, augment=["crop", "flip"]
        ).values()
    )
    data = dataset()
    for view, augment in ((own, ("crop", "flip")), (fixed, ())):
        found = view.draw(9)
        rng = torch.Generator().manual_seed(view.rng.initial_seed())
        index = torch.randperm(40, generator=rng)[:9]
        expected = augmented(data.batch(data.train, index), augment, rng)
        assert torch.equal(found.inputs, expected.inputs)
        assert torch.equal(found.targets, expected.targets)
        assert not torch.equal(view.draw(9).targets, found.targets)
