"""The step on fixed buffers against the eager step: the same bits.

On a CPU a stand-in takes the place of the capture: what a graph would replay is called. So all that
a graph needs is tested here but the graph itself, which the tests marked ``gpu`` use.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.store.store import Store
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.graph_step import Body, GraphStep, undone
from pipeline.training.loop import _Loop
from pipeline.training.optimizer import handing, learning_rate, optimizer, set_learning_rate
from pipeline.training.probe_runner import traits_of
from pipeline.training.step import EagerStep, LossBuffer
from pipeline.trial.run import _reset_process
from tests.helpers.machines.meta_device import away
from tests.helpers.training.fixtures import (
    ALL,
    assert_same,
    configurations,
    dataset,
    network_of,
    settings,
)
from tests.pipeline.training.test_no_trace import state_of

CONFIGURATIONS = configurations()


def held_by_host(config: list[Any]) -> bool:
    return traits_of(settings({}, config)["normalizer"]).host_state


CAPTURED = [name for name, c in CONFIGURATIONS.items() if not held_by_host(c)]
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"schedule": "constant"},
    "warmup and cosine": {"schedule": "cosine", "warmup_steps": 3},
    "step": {"schedule": "step", "milestones": [0.5]},
}


def three_times(body: Body) -> None:
    for _ in range(3):
        body()


def called(body: Body) -> Body:
    return body


class _StaticLoop(_Loop):
    """The loop on fixed buffers, with a rate on the device, on a CPU."""

    def __init__(
        self, cell: dict[str, Any], config: list[Any], checkpoints: Checkpoints | None = None
    ) -> None:
        network = network_of(config)
        super().__init__(cell, dataset(), network, checkpoints, float("inf"))
        self.optimizer = optimizer(network, self.training, capturable=True)
        how = handing(self.training, self.rule)
        eager = EagerStep(network, self.optimizer, self.training["precision"], 50, how)
        self.take_step = GraphStep(eager, warm_up=three_times, capture=called)


def end_of(loop: _Loop) -> dict[str, Any]:
    """All that a run leaves, the type of its learning rate apart."""
    torch.manual_seed(11)
    loop.run()
    probes = repr(loop.outcome.probes)  # NaN is NaN there
    state = {**state_of(loop), "probes": probes}
    del state["optimizer"]["param_groups"]
    return state


def eager_end(cell: dict[str, Any], config: list[Any]) -> dict[str, Any]:
    return end_of(_Loop(cell, dataset(), network_of(config), None, float("inf")))


@pytest.mark.parametrize("name", CAPTURED)
def test_every_normalizer_takes_the_same_step_on_fixed_buffers(name: str) -> None:
    config = CONFIGURATIONS[name]
    cell = settings({}, config, steps=4, augment=["crop", "flip"])
    assert_same(end_of(_StaticLoop(cell, config)), eager_end(cell, config))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_every_optimizer_and_schedule_takes_the_same_step(name: str, schedule: str) -> None:
    kind = {"optimizer": "sgd" if name == "momentum" else name}
    options = {"momentum": 0.9 if name == "momentum" else 0.0, "steps": 6}
    cell = settings({}, ["batch"], **kind, **options, **SCHEDULES[schedule])
    assert_same(end_of(_StaticLoop(cell, ["batch"])), eager_end(cell, ["batch"]))


def test_probes_and_bfloat16_with_fixed_buffers() -> None:
    cell = settings(ALL, ["batch"], precision="bfloat16")
    assert_same(end_of(_StaticLoop(cell, ["batch"])), eager_end(cell, ["batch"]))


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_warm_up_in_mid_run_leaves_no_trace(name: str) -> None:
    """A resumed cell captures its step when parameters, buffers and the optimizer have moved."""
    cell = settings({}, ["batch"], optimizer=name)
    loop = _Loop(cell, dataset(), network_of(["batch"]), None, float("inf"))
    loop.network.train()
    for step in range(2):
        loop._step(step)
    eager = loop.take_step
    assert isinstance(eager, EagerStep)
    tensors = [*loop._tensors(), *eager.buffer.tensors]
    tensors += [x for s in loop.optimizer.state.values() for x in s.values() if x is not None]
    before = [(x.data_ptr(), x.clone()) for x in tensors]
    generator = torch.get_rng_state()
    with undone(eager):
        torch.rand(3)
        three_times(lambda: loop._step(2))
        assert not torch.equal(tensors[0], before[0][1])
    assert [x.data_ptr() for x in tensors] == [pointer for pointer, _ in before]
    assert all(torch.equal(x, old) for x, (_, old) in zip(tensors, before, strict=True))
    assert torch.equal(generator, torch.get_rng_state())
    assert all(p.grad is None for p in loop.network.parameters())


def resumed(
    end: Callable[[Checkpoints | None], dict[str, Any]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:
    """The end of a second trial, after a first one that stopped at its checkpoint of step 4."""
    checkpoints = Checkpoints(Store(str(folder)), "a" * 16, 0.0, {})

    def save(state: dict[str, Any]) -> None:
        Checkpoints.save(checkpoints, state)
        if state["step"] == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", save)
        with pytest.raises(KeyboardInterrupt):
            end(checkpoints)
    checkpoints.every = float("inf")
    return end(checkpoints)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_resumed_step_on_fixed_buffers_ends_with_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = settings(ALL, ["batch"], optimizer=name, steps=8, schedule="cosine")

    def end(checkpoints: Checkpoints | None) -> dict[str, Any]:
        return end_of(_StaticLoop(cell, ["batch"], checkpoints))

    assert_same(resumed(end, tmp_path, monkeypatch), end(None))


def python_state(network: torch.nn.Module) -> list[dict[str, Any]]:
    """What modules keep as numbers of the host: a graph would not see it change."""
    return [
        {k: v for k, v in vars(m).items() if isinstance(v, bool | int | float | str)}
        for m in network.modules()
    ]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_host_state_says_what_a_graph_cannot_replay(name: str) -> None:
    """Numbers of the host change from step to step, or the step waits, where the trait says so.

    Where it does not, every tensor also stays at its address.
    """
    config = CONFIGURATIONS[name]
    loop = _Loop(settings({}, config), dataset(), network_of(config), None, float("inf"))
    loop.network.train()
    loop._step(0)
    numbers, places = python_state(loop.network), [x.data_ptr() for x in loop._tensors()]
    loop._step(1)
    moved = numbers != python_state(loop.network)
    waits = name == "decorrelated_batch"  # in CUDA's solver; a CPU cannot show it
    assert (moved or waits) == held_by_host(config)
    assert places == [x.data_ptr() for x in loop._tensors()]


@pytest.mark.sampled("batch", "noisy_batch")
@pytest.mark.parametrize("name", CAPTURED)
def test_a_captured_step_never_waits(name: str) -> None:
    config = CONFIGURATIONS[name]
    network, data = network_of(config, "meta").train(), dataset("meta")
    eager = EagerStep(network, optimizer(network, settings({})["training"]), "float32", 50)
    step = GraphStep(eager, warm_up=three_times, capture=called)
    with away() as waits:
        batch = data.batch(data.train, slice(12))
        waits.clear()
        step(batch)
    assert not waits


def test_a_device_rate_is_filled_in_place() -> None:
    cell = settings({}, ["none"])["training"]
    made = optimizer(network_of(["none"]), cell, capturable=True)
    rate = made.param_groups[0]["lr"]
    set_learning_rate(made, learning_rate(cell, 2))
    assert made.param_groups[0]["lr"] is rate
    assert rate.item() == learning_rate(cell, 2)


def test_the_loss_buffer_gives_what_was_written_since_the_last_look() -> None:
    buffer = LossBuffer(3, torch.ones(1))
    for values in ([1.0, 2.0], [3.0, 4.0, 5.0]):
        for value in values:
            buffer.write(torch.tensor(value), torch.tensor(int(10 * value)))
        losses, hits = buffer.newest(len(values))
        assert losses.tolist() == values
        assert hits.tolist() == [10 * value for value in values]


@pytest.mark.parametrize(("wanted", "config"), [(True, "batch"), (True, "noise"), (False, "batch")])
def test_a_cpu_takes_eager_steps(wanted: bool, config: str) -> None:
    cell = settings({}, [config])
    loop = _Loop(cell, dataset(), network_of([config]), None, float("inf"), wanted)
    assert isinstance(loop.take_step, EagerStep)
    assert not loop.outcome.cuda_graph
    assert isinstance(loop.optimizer.param_groups[0]["lr"], float)


def on_gpu(cell: dict[str, Any], config: list[Any], *, graph: bool, **store: Any) -> dict[str, Any]:
    """The end of a run on CUDA, in a process as trials have it."""
    _reset_process(1)
    network, data = network_of(config, "cuda"), dataset("cuda")
    loop = _Loop(cell, data, network, store.get("checkpoints"), float("inf"), graph)
    assert isinstance(loop.take_step, GraphStep) == (graph and not held_by_host(config))
    return end_of(loop)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_graph_takes_the_same_step_on_a_gpu(name: str, precision: str) -> None:
    config = CONFIGURATIONS[name]
    cell = settings(ALL, config, steps=6, augment=["crop", "flip"], precision=precision)
    with_graph, eager = (on_gpu(cell, config, graph=graph) for graph in (True, False))
    assert_same(with_graph, eager)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_every_optimizer_and_schedule_in_a_graph(name: str, schedule: str) -> None:
    cell = settings({}, ["batch"], optimizer=name, steps=8, **SCHEDULES[schedule])
    with_graph, eager = (on_gpu(cell, ["batch"], graph=graph) for graph in (True, False))
    assert_same(with_graph, eager)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_resumed_graph_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = settings(ALL, ["batch"], steps=8, schedule="cosine")

    def end(checkpoints: Checkpoints | None) -> dict[str, Any]:
        return on_gpu(cell, ["batch"], graph=True, checkpoints=checkpoints)

    assert_same(resumed(end, tmp_path, monkeypatch), end(None))
