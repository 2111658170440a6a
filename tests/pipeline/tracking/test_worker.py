"""The process that mirrors: what it makes of the driver's words, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest
from mlflow import MlflowClient

from pipeline.spec.read import Resources, Sweep
from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store
from pipeline.tracking import client as tracking
from pipeline.tracking import worker as mirror_process
from pipeline.tracking.worker import mirror_subprocess, work
from pipeline.trial.run import run_trial
from tests.helpers.stores.cells import REGRESSION, cell

SWEEP = Sweep("small", "a small sweep", [], Resources(), Path("small.yaml"))


class Server:
    """Takes the place of MLflow: keeps what it is asked for, or does not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.is_there = True
        monkeypatch.setattr(tracking, "prepare", lambda *_: self.ask("prepare"))
        monkeypatch.setattr(tracking, "mirror", lambda *words: self.ask(words[-1]))
        monkeypatch.setattr(tracking, "mirror_failure", lambda *w: self.ask(f"failed {w[-1]}"))

    def ask(self, word: str) -> None:
        self.asked.append(word)
        if not self.is_there:
            raise ConnectionError("http://ada:hunter2@nowhere does not answer")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def told(*words: str, gone: bool = False) -> bool:
    """Say some words to the process; gives whether it goes on to complete."""
    queue: SimpleQueue[str] = SimpleQueue()
    for word in words:
        queue.put(word)
    event = threading.Event()
    if gone:
        event.set()
    return work(queue, event, SWEEP, Store("memory://mirror"), "uri")


def test_each_ended_cell_is_mirrored_as_it_ended(server: Server) -> None:
    assert told("aa ok", "bb failed", "cc time_limit", "complete")
    assert server.asked == ["prepare", "aa", "failed bb", "cc"]


def test_a_driver_that_is_gone_is_not_worked_for(server: Server) -> None:
    """Its cells are left for its successor, which would make their runs a second time."""
    assert not told("aa ok", "bb ok", "", gone=True)
    assert server.asked == ["prepare"]


def test_a_dead_server_is_left_alone_and_told_of_once(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.is_there = False
    assert told("aa ok", "bb ok", "cc ok", "complete")
    assert server.asked == ["prepare"]
    said = capsys.readouterr().err
    assert said == "tracking is off for now: http://***@nowhere does not answer\n"


def test_a_server_that_is_back_is_used_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mirror_process, "_PAUSE", 0.0)
    server.is_there = False
    queue: SimpleQueue[str] = SimpleQueue()

    def working() -> None:
        work(queue, threading.Event(), SWEEP, Store("memory://mirror"), "uri")

    thread = threading.Thread(target=working)
    thread.start()
    queue.put("aa ok")
    wait_until(lambda: server.asked == ["prepare", "prepare"])
    server.is_there = True
    queue.put("bb ok")
    queue.put("complete")
    thread.join(10)
    assert server.asked == ["prepare", "prepare", "prepare", "bb"]
    assert capsys.readouterr().err.count("off for now") == 1


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A finished cell, and the plan of a sweep that has it."""
    store, one = Store(str(tmp_path / "results")), cell(REGRESSION)
    run_trial(one, store, "cpu")
    told_of = {"settings": {one.cell_id: one.settings}, "labels": {one.cell_id: one.labels}}
    plan = {"schema": SCHEMA, "name": "small", "description": "", "cells": [one.cell_id]}
    store.write_plan({**plan, **told_of})
    return store


def planned(store: Store) -> tuple[str, str]:
    """The sweep's name, and the id of its only plan."""
    return "small", store.plan_ids("small")[0]


def test_the_process_mirrors_and_makes_up_for_what_it_was_not_told(
    store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with mirror_subprocess(planned(store), store, uri) as mirror:
        mirror.ended("lost-one", "lost")
        mirror.complete()
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert {run.data.tags.get("cell_id") for run in runs} == {*store.finished(), None}
    assert store.mirrored("small") is not None
    assert "tracking" not in capfd.readouterr().err


def test_an_interrupted_driver_ends_the_process_and_one_that_fails_is_told_of(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(mirror_process, "_FAREWELL", 300.0)  # a busy machine imports slowly
    started = mirror_process._started
    processes = []
    monkeypatch.setattr(
        mirror_process, "_started", lambda: processes.append(started()) or processes[-1]
    )
    uri = "http://127.0.0.1:9"
    with pytest.raises(KeyboardInterrupt), mirror_subprocess(planned(store), store, uri):
        raise KeyboardInterrupt
    with mirror_subprocess(("small", "no-such-plan"), store, uri) as mirror:
        mirror.complete()
    assert [process.returncode for process in processes] == [0, 1]
    said = capsys.readouterr().err
    assert "no-such-plan.json: no such file" in said
    assert "some runs are missing in MLflow; run again with --sync to add them" in said


def test_without_tracking_there_is_no_process(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_process, "_started", lambda: pytest.fail("started one"))
    with mirror_subprocess(planned(store), store, None) as mirror:
        mirror.ended("aa", "ok")
        mirror.complete()
