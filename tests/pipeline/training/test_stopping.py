"""A cell that is asked to stop saves a checkpoint, and loses no step."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.store import Store
from pipeline.training import loop as training
from pipeline.training import stopping
from pipeline.trial.run import run_and_record
from tests.helpers.stores.cells import IMAGES, PROBES, cell


def test_a_stopped_cell_goes_on_at_the_next_step_with_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = cell(IMAGES, steps=6, probes=PROBES, evaluate_samples=8)
    store, whole = Store(str(tmp_path / "stopped")), Store(str(tmp_path / "whole"))
    taken: list[int] = []
    step = training._Loop._step

    def counted(self: Any, number: int) -> None:
        taken.append(number)
        step(self, number)

    monkeypatch.setattr(training._Loop, "_step", counted)
    with monkeypatch.context() as patched:
        patched.setattr(stopping, "requested", lambda: len(taken) == 3)
        assert run_and_record(images, store, "cpu") == "stopped"
    assert not store.has_result(images.cell_id)
    assert store.read_side_file(images.cell_id, "checkpoint.pt")
    assert b"stopped after 3 of 6 steps" in (store.read_side_file(images.cell_id, "log.txt") or b"")
    assert run_and_record(images, store, "cpu") == "ok"
    assert taken == [0, 1, 2, 3, 4, 5]
    assert run_and_record(images, whole, "cpu") == "ok"
    records = [each.result(images.cell_id)["records"] for each in (store, whole)]
    assert records[0] == records[1]


def test_a_cell_that_has_taken_its_last_step_is_finished_though_asked_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "requested", lambda: True)
    single = cell(IMAGES, steps=1, evaluate_samples=8)
    assert run_and_record(single, Store(str(tmp_path)), "cpu") == "ok"


def test_a_request_concerns_the_present_cell_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_EVERY", 0.01)
    asked = threading.Event()
    with stopping.stopping(asked.is_set):
        assert not stopping.requested()
        asked.set()
        assert stopping._requested.wait(5)
        assert stopping.requested()
    assert not stopping.requested()
