"""What Ray is asked for, and what a worker does before it runs a cell."""

from __future__ import annotations

import gc
import json
import socket
import weakref
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from pipeline.spec.read import Cell, Resources
from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store
from pipeline.sweep.on_ray import ray_cluster, slots, tune
from pipeline.trial import run as trial
from tests.helpers.stores import cells


def cell(architecture: str) -> Cell:
    settings = {"architecture": {"name": architecture}, "training": {"precision": "float32"}}
    return Cell(settings, {}, architecture)


CELLS = [cell("vgg11"), cell("resnet20")]


@pytest.mark.parametrize(
    ("have", "resources", "count"),
    [
        ({"CPU": 4}, Resources(), 4),
        ({"CPU": 5}, Resources(cpus=2), 2),
        ({"CPU": 16, "GPU": 1}, Resources(), 1),
        ({"CPU": 16, "GPU": 2}, Resources(gpus=0.25), 8),
        ({"CPU": 4, "GPU": 2}, Resources(gpus=0.25), 4),
        ({"CPU": 16, "GPU": 1}, Resources(gpus={"vgg11": 0.25}), 4),
        ({"CPU": 16, "GPU": 1}, Resources(gpus={"vgg11": 0.25, "resnet20": 0.5}), 4),
        ({"CPU": 16}, Resources(gpus=None), 16),
        ({"CPU": 64, "GPU": 4}, Resources(gpus=0.4), 8),
        ({"CPU": 64, "GPU": 16}, Resources(gpus=0.3), 48),
        ({"CPU": 64, "GPU": 1}, Resources(gpus=0.1), 10),
        ({"CPU": 64, "GPU": 3}, Resources(gpus=1 / 3), 9),
        ({"CPU": 64, "GPU": 5}, Resources(gpus=2.0), 2),
    ],
)
def test_slots(
    have: dict[str, float], resources: Resources, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: have)
    assert slots.max_concurrent_cells(CELLS, resources, None) == count
    assert slots.max_concurrent_cells(CELLS, resources, 1) == 1


@pytest.mark.parametrize(
    ("gpus", "gpus_there", "asked"),
    [
        ({"vgg11": 0.25}, 1.0, [0.25, 1.0]),
        (0.5, 1.0, [0.5, 0.5]),
        (None, 1.0, [1.0, 1.0]),
        (None, 0.0, [0.0, 0.0]),
    ],
)
def test_ray_is_asked_for_a_share_by_architecture(
    gpus: float | dict[str, float] | None, gpus_there: float, asked: list[float]
) -> None:
    """A cell occupies its CPUs and its share of a GPU: `max_concurrent_cells` of them fit."""
    resources = Resources(cpus=2, gpus=gpus)
    needed = [tune._needed(cell, resources, gpus_there).required_resources for cell in CELLS]
    assert [each.get("GPU", 0.0) for each in needed] == asked
    assert {each["CPU"] for each in needed} == {2}


@pytest.mark.parametrize(("gpus", "fraction"), [(0.25, 0.25), (None, 1.0), (2.0, 1.0)])
def test_a_share_of_a_gpu_is_a_share_of_its_memory(
    gpus: float | None, fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine with a GPU is told, seen from one without."""
    told: list[tuple[float, int]] = []
    monkeypatch.setattr("torch.cuda.current_device", lambda: 3)
    monkeypatch.setattr(
        "torch.cuda.set_per_process_memory_fraction",
        lambda share, index: told.append((share, index)),
    )
    trial._bound_memory(torch.device("cuda"), gpus)
    trial._bound_memory(torch.device("cuda:1"), gpus)
    trial._bound_memory(torch.device("cpu"), gpus)
    assert told == [(fraction, 3), (fraction, 1)]


@pytest.mark.parametrize("cpus", [2, 1])
def test_a_trial_has_a_thread_for_each_of_its_cpus(cpus: int, tmp_path: Path) -> None:
    store, tiny = Store(str(tmp_path)), cells.cell(cells.REGRESSION, steps=1)
    trial.run_trial(tiny, store, "cpu", Resources(cpus=cpus))
    assert torch.get_num_threads() == cpus
    assert store.result(tiny.cell_id)["provenance"]["threads"] == cpus


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (Resources(cpus=8), "asks for 8 CPUs and the cluster has 4; lower resources.cpus"),
        (Resources(gpus=0.5), "asks for 0.5 GPUs and the cluster has 0; lower resources.gpus"),
        (Resources(gpus={"resnet20": 1.0}), "asks for 1 GPUs and the cluster has 0"),
    ],
)
def test_what_can_never_run_is_said(
    resources: Resources, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 4.0})
    with pytest.raises(ValueError, match=said):
        slots.max_concurrent_cells(CELLS, resources, None)


@pytest.mark.parametrize(("have", "refused"), [({"CPU": 4}, True), ({"CPU": 4, "GPU": 1}, False)])
def test_tf32_is_refused_before_any_cell_runs_on_a_cpu(
    have: dict[str, float], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: have)
    asked = [cells.cell(cells.REGRESSION, precision="tf32")]
    if refused:
        with pytest.raises(
            ValueError, match=r"training\.precision: tf32 .* has no GPU; use float32"
        ):
            slots.max_concurrent_cells(asked, Resources(), None)
    else:
        assert slots.max_concurrent_cells(asked, Resources(), None) == 1


@pytest.mark.parametrize(
    ("have", "resources", "line"),
    [
        ({"CPU": 4}, Resources(), None),
        ({"CPU": 4, "GPU": 1}, Resources(), None),
        ({"CPU": 4, "GPU": 1}, Resources(gpus=0.3), "GPU sharing: up to 3 cells per GPU"),
        ({"CPU": 4, "GPU": 1}, Resources(gpus={"vgg11": 0.1}), "up to 10 cells per GPU"),
    ],
)
def test_how_cells_share_a_gpu_is_told(
    have: dict[str, float],
    resources: Resources,
    line: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: have)
    told = slots.sharing(CELLS, resources)
    assert told is None if line is None else line in str(told)


def test_a_cell_that_has_ended_meanwhile_is_not_run_again(tmp_path: Path) -> None:
    """By another sweep of the store, or by this very trial before its worker died."""
    store = Store(str(tmp_path))
    assert tune._status(store, "aa") is None
    store.write_lost({"schema": SCHEMA, "cell_id": "aa"})
    assert tune._status(store, "aa") is None
    store.write_failure({"schema": SCHEMA, "cell_id": "aa"})
    assert tune._status(store, "aa") == "failed"
    store.write_result({"schema": SCHEMA, "cell_id": "aa", "status": "diverged"}, {})
    assert tune._status(store, "aa") == "diverged"


class Tuner:
    """Takes the place of Tune's: trials that point at one another, and what it was asked for."""

    made: ClassVar[list[weakref.ref[Tuner]]] = []
    cells: ClassVar[list[str]] = []
    left_over = 0

    def __init__(self, trainable: Any, *, param_space: dict[str, Any], **options: Any) -> None:
        Tuner.left_over += sum(each() is not None for each in self.made)
        self.made.append(weakref.ref(self))
        self.cells.extend(param_space["cell"]["grid_search"])
        self.itself = self

    def fit(self) -> None:
        """Runs nothing."""


def test_the_trials_of_a_chunk_are_gone_before_the_next_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Or the driver would keep all trials of a sweep; cells go to Tune in order, as text."""
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 4.0})
    monkeypatch.setattr("ray.tune.Tuner", Tuner)
    monkeypatch.setattr(tune, "_CHUNK", 2)
    job = tune.Job("small", str(tmp_path), Resources())
    five = [Cell({"lr": 0.1 * index}, {"seed": index}, f"cell-{index}") for index in range(5)]
    gc.disable()
    try:
        tune.run(five, job, 2, tune.Events([print], [print]))
    finally:
        gc.enable()
    assert len(Tuner.made) == 3
    assert Tuner.left_over == 0
    assert [tune._cell({"cell": text}) for text in Tuner.cells] == five


class Lost:
    """A trial as Tune shows it once its worker is gone."""

    def __init__(self, error: str | None) -> None:
        self.error = error
        self.config = {"cell": json.dumps({"cell_id": "aa", "labels": {}, "settings": {}})}

    def get_error(self) -> str | None:
        return self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ray.exceptions.OutOfMemoryError: Task was killed", "lost twice: out of memory"),
        ("ActorDiedError: SIGKILL by http://ada:hunter2@host", "killed (by hand, for want of mem"),
        (None, "its node is gone"),
    ],
)
def test_a_lost_cell_says_what_is_known(error: str | None, said: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    tune._save_lost(store, Lost(error))
    assert store.cell_states().lost == {"aa"}
    assert said in store.read_lost("aa")["error"]
    assert "hunter2" not in str(store.read_lost("aa"))


def test_a_view_that_fails_ends_no_sweep(tmp_path: Path) -> None:
    told: list[str] = []

    def failing(cell_id: str, status: str) -> None:
        told.append(status)
        raise RuntimeError("the terminal is gone")

    relay = tune._EventCallback(str(tmp_path), tune.Events([told.append], [failing]))
    relay.on_trial_error(0, [], Lost(None))
    assert told == ["lost"]
    assert Store(str(tmp_path)).cell_states().lost == {"aa"}


def test_a_cluster_that_was_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(ray_cluster, "find_bootstrap_address", lambda _: address)
        assert ray_cluster._running() == "auto"
    assert ray_cluster._running() is None
    monkeypatch.setattr(ray_cluster, "find_bootstrap_address", lambda _: None)
    assert ray_cluster._running() is None


def test_gpus_are_those_that_cuda_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_cards", lambda: ["GPU-a", "GPU-b"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert ray_cluster._own_resources()[1] is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert ray_cluster._own_resources()[1] == 1
