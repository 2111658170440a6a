"""A store that only the driver sees is refused before the first cell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import GetTimeoutError, NodeDiedError, RayTaskError

from pipeline.spec.read import Resources
from pipeline.store.store import Store, StoreError
from pipeline.sweep.lease import Lease
from pipeline.sweep.on_ray import node_check, tune
from pipeline.sweep.on_ray.node_check import refuse_memory, refuse_unseen, unseen
from tests.helpers.stores.cells import REGRESSION, cell, sweep_content
from tests.pipeline.sweep.test_tune import Lost


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    unseen.cache_clear()


def test_a_process_sees_the_store_by_the_lease_in_it(store: Store, tmp_path: Path) -> None:
    lease = Lease(store, "small")
    with lease.acquire():
        assert unseen(store.uri, "small", lease.id) == ""
        other = Lease(store, "small").id
        assert "the driver's file is not there" in unseen(store.uri, "small", other)
        elsewhere = str(tmp_path / "elsewhere")
        assert "the driver's file is not there" in unseen(elsewhere, "small", lease.id)


def test_a_process_that_cannot_read_the_store_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Store, sweep: str) -> None:
        raise StoreError("s3://b/leases: cannot be read: Forbidden")

    monkeypatch.setattr(Store, "lease", refuse)
    assert unseen("s3://b", "small", "id") == (
        "does not see the store: s3://b/leases: cannot be read: Forbidden"
    )


class Cluster:
    """Takes the place of Ray: nodes by id, each with what it answers or raises."""

    def __init__(self, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers, self.asked = answers, list[str]()
        nodes = [{"NodeID": n, "NodeManagerAddress": f"10.0.0.{n}", "Alive": True} for n in answers]
        nodes.append({"NodeID": "9", "NodeManagerAddress": "10.0.0.9", "Alive": False})
        monkeypatch.setattr("ray.nodes", lambda: nodes)
        monkeypatch.setattr("ray.get_runtime_context", lambda: self)
        monkeypatch.setattr("ray.get", self.get)
        monkeypatch.setattr(node_check, "_ask", self.ask)

    def get_node_id(self) -> str:
        return "1"

    def ask(self, node: str, *words: str) -> str:
        self.asked.append(node)
        return node

    def get(self, node: str, timeout: float) -> Any:
        if isinstance(answer := self.answers[node], Exception):
            raise answer
        return answer


BROKEN = RayTaskError("look", "no traceback", ModuleNotFoundError("No module named 'pipeline'"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("does not see the store: not there", "node 10.0.0.2 does not see the store: not there; g"),
        (GetTimeoutError("late"), "node 10.0.0.2 did not answer within 120 s"),
        (BROKEN, "node 10.0.0.2 cannot run this code: No module named 'pipeline'"),
    ],
)
def test_a_node_that_does_not_see_the_store_is_named(
    answer: object, said: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cluster({"1": "", "2": answer}, monkeypatch)
    with pytest.raises(ValueError, match=f"^--storage {store.uri}: {said}") as caught:
        refuse_unseen(store, "small", "id")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", ["", NodeDiedError("gone")])
def test_nodes_that_see_it_or_are_gone_are_no_reason(
    answer: object, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster({"1": "", "2": "", "3": answer}, monkeypatch)
    refuse_unseen(store, "small", "id")
    assert cluster.asked == ["2", "3"]


def test_a_single_machine_is_not_asked_about_its_own_folder(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster({"1": "not asked"}, monkeypatch)
    refuse_unseen(store, "small", "id")
    assert cluster.asked == []


def test_every_node_is_asked_about_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's own node too: its workers have the environment of whoever started Ray."""
    cluster = Cluster({"1": "does not see the store: no credentials", "2": ""}, monkeypatch)
    with pytest.raises(ValueError, match=r"node 10\.0\.0\.1 does not see the store"):
        refuse_unseen(Store("memory://x"), "small", "id")
    assert cluster.asked == ["1", "2"]


def test_memory_is_no_store_of_a_sweep(store: Store) -> None:
    refuse_memory(store)
    with pytest.raises(ValueError, match="--storage memory://x: cells run in other processes"):
        refuse_memory(Store("memory://x"))


def test_the_command_refuses_memory_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(json.dumps(sweep_content(REGRESSION)))
    words = ["pipeline.sweep", str(file), "--storage", "memory://x", "--tracking", "none"]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("--storage memory://x: cells run in other processes; give ")
    assert done.stderr.count("\n") == 1


def test_a_node_that_joins_later_loses_a_cell_with_the_reason(store: Store, tmp_path: Path) -> None:
    """Its folder of the same path is another one: the result would be where nobody looks."""
    known = cell(REGRESSION)
    job = {"sweep": "small", "storage": store.uri, "resources": vars(Resources()), "lease": "id"}
    config = {"cell": json.dumps(vars(known))}
    with pytest.raises(StoreError, match="does not see the store: the driver's file") as caught:
        tune._trial(config, job, 0.0)
    tune._save_lost(store, Lost(f"StoreError: {caught.value}"))
    assert store.read_lost("aa")["error"].startswith(
        "its machine does not see the store: --storage has"
    )
