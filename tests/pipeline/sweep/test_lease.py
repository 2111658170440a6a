from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.spec.read import SCHEMA
from pipeline.store.store import Store
from pipeline.sweep import lease as leases
from pipeline.sweep.lease import Lease, is_running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def held_elsewhere(store: Store, **changes: Any) -> dict[str, Any]:
    lease = {
        "schema": SCHEMA,
        "id": "other",
        "host": "elsewhere",
        "pid": 7,
        "born": "1",
        "time": time.time(),
    }
    store.write_lease("small", lease | changes)
    return lease | changes


def test_a_second_driver_is_told_who_is_at_work(store: Store) -> None:
    with Lease(store, "small").held():
        said = rf"small: is being run by process {os.getpid()} on {platform.node()} \(seen 0 s ago"
        with pytest.raises(ValueError, match=said), Lease(store, "small").held():
            raise AssertionError
        with Lease(store, "another").held():
            assert store.lease("another") is not None
    assert store.lease("small") is None


def test_an_error_gives_the_sweep_free(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), Lease(store, "small").held():
        raise ZeroDivisionError
    assert store.lease("small") is None


def test_of_two_that_claim_at_once_one_has_it(store: Store) -> None:
    first = Lease(store, "small")
    with first.held():
        first.confirm()
        held_elsewhere(store)  # had looked before the first one wrote
        with pytest.raises(ValueError, match="is being run by process 7 on elsewhere"):
            first.confirm()
    assert store.lease("small") is not None


def test_a_silent_driver_of_another_host_is_gone(store: Store) -> None:
    old = held_elsewhere(store, time=time.time() - 1000)
    assert not is_running(old)
    with Lease(store, "small").held():
        assert store.lease("small") != old


def test_a_killed_driver_of_this_host_is_gone_at_once(store: Store) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = {"host": platform.node(), "pid": process.pid, "born": leases._born(process.pid)}
    lease = held_elsewhere(store, **here)
    assert is_running(lease)
    assert not is_running({**lease, "born": "another process had this number"})
    process.kill()
    deadline = time.monotonic() + 10
    while is_running(lease) and time.monotonic() < deadline:  # it is not yet reaped: a zombie
        time.sleep(0.01)
    assert not is_running(lease)
    process.communicate()


def test_a_lease_beats(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.02)
    with Lease(store, "small").held():
        first = store.lease("small")
        deadline = time.monotonic() + 10
        while store.lease("small") == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert store.lease("small") != first
