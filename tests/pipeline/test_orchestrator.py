"""What Ray is asked for, and what a worker does before it runs a cell."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from pipeline import orchestrator
from pipeline.spec import SCHEMA, Cell, Resources
from pipeline.store import Store


def cell(architecture: str) -> Cell:
    return Cell({"architecture": {"name": architecture}}, {}, architecture)


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
    ],
)
def test_slots(
    have: dict[str, float], resources: Resources, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: have)
    assert orchestrator.slots(CELLS, resources, None) == count
    assert orchestrator.slots(CELLS, resources, 1) == 1


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
        orchestrator.slots(CELLS, resources, None)


def test_a_cell_that_has_ended_meanwhile_is_not_run_again(tmp_path: Path) -> None:
    """By another sweep of the store, or by this very trial before its worker died."""
    store = Store(str(tmp_path))
    assert orchestrator._status(store, "aa") is None
    store.write_lost({"schema": SCHEMA, "cell_id": "aa"})
    assert orchestrator._status(store, "aa") is None
    store.write_failure({"schema": SCHEMA, "cell_id": "aa"})
    assert orchestrator._status(store, "aa") == "failed"
    store.write_result({"schema": SCHEMA, "cell_id": "aa", "status": "diverged"}, {})
    assert orchestrator._status(store, "aa") == "diverged"


class Lost:
    """A trial as Tune shows it once its worker is gone."""

    def __init__(self, error: str | None) -> None:
        self.error = error
        self.config: dict[str, Any] = {"cell": {"cell_id": "aa", "labels": {}}}

    def get_error(self) -> str | None:
        return self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ray.exceptions.OutOfMemoryError: Task was killed", "lost twice: out of memory"),
        ("ActorDiedError: SIGKILL by http://ada:hunter2@host", "killed (by hand, or for want of"),
        (None, "its node is gone"),
    ],
)
def test_a_lost_cell_says_what_is_known(error: str | None, said: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    orchestrator._save_lost(store, Lost(error))
    assert store.standing().lost == {"aa"}
    assert said in store.lost("aa")["error"]
    assert "hunter2" not in str(store.lost("aa"))


def test_a_view_that_fails_ends_no_sweep(tmp_path: Path) -> None:
    told: list[str] = []

    def failing(cell_id: str, status: str) -> None:
        told.append(status)
        raise RuntimeError("the terminal is gone")

    relay = orchestrator._Relay(str(tmp_path), orchestrator.Events(told.append, failing))
    relay.on_trial_error(0, [], Lost(None))
    assert told == ["lost"]
    assert Store(str(tmp_path)).standing().lost == {"aa"}


def test_a_cluster_that_was_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(orchestrator, "find_bootstrap_address", lambda _: address)
        assert orchestrator._running() == address
    assert orchestrator._running() is None
    monkeypatch.setattr(orchestrator, "find_bootstrap_address", lambda _: None)
    assert orchestrator._running() is None
