"""How far a running cell is, from its worker to the live view."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.sweep.progress import Progress
from pipeline.training import live_note
from pipeline.training.live_note import note, noting, read
from pipeline.training.local_notes import clear_notes, note_file
from tests.helpers.stores import cells


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))


def test_a_note_is_read_while_the_cell_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_note, "_EVERY", 0.0)
    assert read("run", "aa") == ""
    with noting("run", "aa"):
        note(50, 200, 2.30259)
        assert read("run", "aa") == "step 50/200 · loss 2.3"
        note(100, 200, math.inf)
        assert read("run", "aa") == "step 100/200 · loss inf"
        assert read("other", "aa") == ""
    assert read("run", "aa") == ""
    note(150, 200, 1.0)  # of a trial that nobody watches
    assert read("run", "aa") == ""


def test_a_note_is_written_once_a_second() -> None:
    with noting("run", "aa"):
        note(50, 200, 2.0)
        note(100, 200, 1.0)
        assert read("run", "aa") == "step 50/200 · loss 2"


def test_no_place_for_a_note_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    with noting("run", "aa"):
        note(50, 200, 2.0)
        assert read("run", "aa") == ""


def test_a_run_leaves_no_notes_of_its_own_behind() -> None:
    """A worker that is killed cannot remove its own."""
    for run in ("run", "other"):
        note_file(run, "aa").write_text("[]")
    clear_notes("run")
    assert [file.name for file in note_file("", "").parent.iterdir()] == ["other-aa"]


def test_training_notes_its_steps_and_finds_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, int, float]] = []
    unseen = cells.run(cells.cell(cells.REGRESSION, steps=60)).curve
    monkeypatch.setattr("pipeline.training.loop.note", lambda *given: seen.append(given))
    curve = cells.run(cells.cell(cells.REGRESSION, steps=60)).curve
    assert curve == unseen
    losses = curve["train_loss"]
    assert seen == [(50, 60, losses[49]), (60, 60, losses[59])]


def test_the_panel_shows_how_far_a_cell_is() -> None:
    console = Console(record=True, width=120, force_terminal=True, file=io.StringIO())
    known = cells.cell(cells.REGRESSION)
    shown = Progress(
        [known], 0, 1, console, how_far={known.cell_id: "step 5/9 · loss 1"}.__getitem__
    )
    shown.started(known.cell_id)
    console.print(shown._panel())
    assert "step 5/9 · loss 1" in console.export_text()
