from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store, StoreError
from pipeline.sweep import lease as leases
from pipeline.sweep.lease import Lease, is_alive
from pipeline.trial.run import run_and_record
from tests.helpers.stores.cells import REGRESSION, cell, sweep_content

ROOT = Path(__file__).parents[3]


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
        "beat": 1,
        "time": "2030-01-01T00:00:00+00:00",
    }
    store.write_lease("small", lease | changes)
    return lease | changes


def test_a_second_driver_is_told_who_is_at_work(store: Store) -> None:
    with Lease(store, "small").acquire():
        said = f"small: is being run by process {os.getpid()} on {platform.node()}; wait for it"
        with pytest.raises(ValueError, match=said), Lease(store, "small").acquire():
            raise AssertionError
        with Lease(store, "another").acquire():
            assert store.lease("another") is not None
    assert store.lease("small") is None


def test_an_error_gives_the_sweep_free(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), Lease(store, "small").acquire():
        raise ZeroDivisionError
    assert store.lease("small") is None


def test_of_two_that_claim_at_once_one_has_it(store: Store) -> None:
    first = Lease(store, "small")
    with first.acquire():
        first.verify_owner()
        held_elsewhere(store)  # had looked before the first one wrote
        with pytest.raises(ValueError, match="is being run by process 7 on elsewhere"):
            first.verify_owner()
    assert store.lease("small") is not None


CLOCKS = ["1999-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"]


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SILENCE", 0.3)
    monkeypatch.setattr(leases, "_LOOK", 0.02)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("clock", CLOCKS)
def test_a_silent_driver_of_another_host_is_waited_for_whatever_its_clock(
    clock: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clock a day ahead refused for a day; one behind let a second driver in at once."""
    old = held_elsewhere(store, time=clock)
    began = time.monotonic()
    with Lease(store, "small").acquire():
        assert time.monotonic() - began >= 0.3
        assert store.lease("small") != old
    said = capsys.readouterr().err
    assert "process 7 on elsewhere may still be running it; waiting up to 0.3 s" in said
    assert "no heartbeat, it is gone" in said


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("clock", CLOCKS)
def test_a_driver_of_another_host_that_beats_is_left_alone(clock: str, store: Store) -> None:
    held_elsewhere(store, time=clock)
    beat = threading.Timer(0.1, lambda: held_elsewhere(store, time=clock, beat=2))
    beat.start()
    with (
        pytest.raises(ValueError, match="by process 7 on elsewhere"),
        Lease(store, "small").acquire(),
    ):
        raise AssertionError
    beat.join()


@pytest.mark.usefixtures("_quick")
def test_a_driver_of_another_host_that_ends_meanwhile_leaves_the_sweep(store: Store) -> None:
    held_elsewhere(store)
    end = threading.Timer(0.1, lambda: store.drop_lease("small"))
    end.start()
    with Lease(store, "small").acquire():
        found = store.lease("small")
        assert found is not None
        assert found["pid"] == os.getpid()
    end.join()


def test_a_ghost_is_waited_for_a_minute_and_a_half_at_most() -> None:
    assert leases.HEARTBEAT_SECONDS < leases.SILENCE <= 90


def test_who_is_at_work_in_words(store: Store) -> None:
    assert leases.describe(None) == "nobody is running it now"
    with Lease(store, "small").acquire():
        here = store.lease("small")
    assert leases.describe(here) == f"it is being run by process {os.getpid()} on {platform.node()}"
    assert leases.describe({**(here or {}), "born": "0"}) == "nobody is running it now"
    said = leases.describe(held_elsewhere(store))
    assert said.startswith("last run by process 7 on elsewhere, which may be at work")
    assert "2030-01-01T00:00:00+00:00, its clock" in said


def test_a_heart_outlives_a_store_that_cannot_be_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread ended, and after a while another driver would have taken the sweep."""
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    with Lease(store, "small").acquire():
        with monkeypatch.context() as broken:
            broken.setattr(store, "lease", raising_store_error)
            time.sleep(0.2)
        first = store.lease("small")
        deadline = time.monotonic() + 10
        while store.lease("small") == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert store.lease("small") != first


def raising_store_error(sweep: str) -> None:
    raise StoreError("the server does not answer")


def test_a_killed_driver_of_this_host_is_gone_at_once(store: Store) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = {
        "host": platform.node(),
        "pid_space": leases._pid_space(),
        "pid": process.pid,
        "born": leases._process_start_time(process.pid),
    }
    lease = held_elsewhere(store, **here)
    assert is_alive(lease)
    assert not is_alive({**lease, "born": "another process had this number"})
    process.kill()
    deadline = time.monotonic() + 10
    while is_alive(lease) and time.monotonic() < deadline:  # it is not yet reaped: a zombie
        time.sleep(0.01)
    assert not is_alive(lease)
    process.communicate()


def test_a_process_of_another_container_or_boot_is_not_taken_for_gone(store: Store) -> None:
    """Its number means nothing here, though the host has the same name."""
    with Lease(store, "small").acquire():
        own = store.lease("small") or {}
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), os.readlink("/proc/self/ns/pid")
    assert own["pid_space"] == f"{boot.read_text().strip()} {namespace}"
    assert is_alive({**own, "born": "0"}) is False
    for space in (own["pid_space"] + "0", "another " + namespace):
        assert is_alive({**own, "pid_space": space, "born": "0"}) is None


def test_a_driver_is_refused_from_a_container_that_shares_the_host_s_name(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"]).returncode:
        pytest.skip("needs a PID namespace: root, and util-linux")
    code = (
        "from pipeline.store.store import Store; from pipeline.sweep.lease import Lease\n"
        f"with Lease(Store({store.uri!r}), 'small').acquire(): pass"
    )
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.2)
    with Lease(store, "small").acquire():
        words = [*inside, sys.executable, "-c", code]
        done = subprocess.run(words, text=True, capture_output=True, cwd=ROOT, timeout=120)
    who = f"process {os.getpid()} on {platform.node()}"
    assert f"small: {who} may still be running it; waiting up to 90 s" in done.stderr
    assert f"ValueError: small: is being run by {who}; wait for it, or stop it" in done.stderr


def test_a_lease_beats(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    with Lease(store, "small").acquire():
        first = store.lease("small")
        deadline = time.monotonic() + 10
        while store.lease("small") == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert store.lease("small") != first


def test_a_driver_whose_sweep_was_taken_over_knows_by_whom(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It slept for too long, say: else both would run the same cells."""
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    own = Lease(store, "small")
    with own.acquire():
        assert own.taken_over() == ""
        other = held_elsewhere(store)
        deadline = time.monotonic() + 10
        while not own.taken_over() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert own.taken_over() == "process 7 on elsewhere has taken small over"
        assert store.lease("small") == other
    assert store.lease("small") == other


def test_the_command_waits_for_a_ghost_and_says_so(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps({**sweep_content(REGRESSION), "name": "small"}))
    only = cell(REGRESSION)
    assert run_and_record(only, store, "cpu") == "ok"
    held_elsewhere(store)
    words = ["pipeline.sweep", str(file), "--storage", str(tmp_path), "--tracking", "none"]
    with subprocess.Popen(
        [sys.executable, "-m", *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == (
            "small: process 7 on elsewhere may still be running it; "
            "waiting up to 90 s for its heartbeat\n"
        )
        store.drop_lease("small")
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "1 of 1 cells done" in said
