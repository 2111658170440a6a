"""What the command says of a sweep without running it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.spec.read import Cell, read_sweep
from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import CellStates, Store
from pipeline.sweep.command import main
from pipeline.sweep.status import to_run
from pipeline.trial.command import main as trial_main
from pipeline.trial.source_digest import source_digests


@pytest.fixture
def file(tmp_path: Path) -> Path:
    content = {
        "name": "small",
        "base": {
            "data": {"name": "gaussian", "samples": 64},
            "architecture": {"name": "deep_linear", "depth": 4},
            "training": {"steps": 10, "batch_size": None, "lr": 1e-4},
        },
        "grid": {"normalizer": ["none", {"name": "group", "groups": 5}]},
        "seeds": 3,
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSCOPE_CACHE", str(tmp_path / "cache"))


def ended(cell: Cell, error: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "cell_id": cell.cell_id, "labels": cell.labels, "error": error}


def finish(store: Store, cell: Cell, status: str = "ok", **cost: Any) -> None:
    cost = {"seconds": 3600.0, "peak_memory_bytes": None, **cost}
    result: dict[str, Any] = {"schema": SCHEMA, "cell_id": cell.cell_id, "status": status}
    result["provenance"] = {"sources": source_digests(cell.settings)}
    store.write_result({**result, "cost": cost, "summary": {"steps": 10}}, {})


def make_by_other_code(store: Store, cell: Cell, sources: dict[str, str] | None) -> None:
    result = store.result(cell.cell_id)
    store.write_result({**result, "provenance": {"sources": sources}}, {})


@pytest.fixture
def store(file: Path, tmp_path: Path) -> Store:
    """Two finished cells, two failures that differ in a number, a lost cell, and a missing one."""
    store = Store(str(tmp_path / "results"))
    first, second, third, fourth, fifth, _ = read_sweep(file).cells
    finish(store, first)
    finish(store, second, "time_limit")
    store.write_failure(ended(third, "ValueError: 7 of 10"))
    store.write_failure(ended(fourth, "ValueError: 8 of 10"))
    store.write_lost(ended(fifth, "its worker was lost twice"))
    store.write_side_file(third.cell_id, "log.txt", b"printed")
    return store


def say(
    file: Path, store: Store, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str]:
    code = main([str(file), "--storage", store.uri, *options])
    return code, capsys.readouterr().out


def test_what_is_run_by_default_and_on_demand(file: Path, store: Store) -> None:
    cells = read_sweep(file).cells
    standing = store.cell_states()
    assert to_run(cells, store, standing, retry_failed=False) == cells[4:]
    assert to_run(cells, store, standing, retry_failed=True) == cells[1:]
    everything = CellStates({cell.cell_id for cell in cells}, set(), set())
    assert to_run(cells, store, everything, retry_failed=False) == []


def test_a_reopened_cell_is_missing(file: Path, store: Store) -> None:
    for cell in read_sweep(file).cells:
        store.clear_outcome(cell.cell_id)
    assert store.cell_states() == CellStates(set(), set(), set())


def test_a_cell_that_was_lost_three_times_waits_for_a_word(
    file: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was run again without end: what ends its worker is then hardly the machine."""
    cells = read_sweep(file).cells
    fifth = cells[4]
    for cell in cells[5:]:
        finish(store, cell)
    for times in (2, 3):
        assert to_run(cells, store, store.cell_states(), retry_failed=False) == [fifth]
        store.clear_outcome(fifth.cell_id, keep_lost=True)
        store.write_lost(ended(fifth, "its worker was lost twice"))
        assert store.times_lost(fifth.cell_id) == times
    assert to_run(cells, store, store.cell_states(), retry_failed=False) == []
    assert main([str(file), "--storage", store.uri, "--tracking", "none"]) == 1
    assert (
        "1 lost in 3 runs: not run again unless --retry-failed says so" in capsys.readouterr().err
    )
    assert fifth in to_run(cells, store, store.cell_states(), retry_failed=True)
    store.clear_outcome(fifth.cell_id)
    store.write_lost(ended(fifth, "its worker was lost twice"))
    assert store.times_lost(fifth.cell_id) == 1
    finish(store, fifth)
    assert store.read_side_file(fifth.cell_id, "lost.json") is None


def test_a_lost_cell_of_an_earlier_version_counts_as_lost_once(store: Store) -> None:
    store.write_side_file("aa", "lost.json", json.dumps({"schema": SCHEMA, "error": "x"}).encode())
    assert store.times_lost("aa") == 1


def test_status(file: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = say(file, store, capsys, "--status")
    assert code == 0
    for count, state in ((2, "done"), (1, "missing"), (1, "lost"), (2, "failed")):
        assert f"{count}  {state}" in said
    assert "nobody is running it now" in said


def test_status_lists_cells_made_by_other_code(
    file: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = read_sweep(file).cells
    assert "other code" not in say(file, store, capsys, "--status")[1]
    now = source_digests(first.settings)
    make_by_other_code(store, first, {**now, "normalizers/none": "0ld", "training": "0ld"})
    make_by_other_code(store, second, None)
    code, said = say(file, store, capsys, "--status")
    assert code == 0
    assert "1 done cells; changed: normalizers/none, training\n  " + first.cell_id in said
    assert "1 done cells; changed: code that is not recorded\n  " + second.cell_id in said
    assert "--rerun-changed runs these cells again" in said


def test_status_lists_results_that_were_edited_by_hand(
    file: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = read_sweep(file).cells[0]
    result = Path(store.uri) / "cells" / cell.cell_id / "result.json"
    result.write_text(result.read_text().replace('"ok"', '"diverged"'))
    told = "damaged, or edited by hand: the results of 1 done cells"
    assert (
        f"{told}; no report has them; the first is {cell.cell_id}"
        in say(file, store, capsys, "--dry-run")[1]
    )
    code, said = say(file, store, capsys, "--status")
    assert code == 0
    assert told in said
    assert f"  {cell.cell_id}  " in said
    assert "--rerun-changed runs these cells again" in said


def test_cells_made_by_other_code_run_again_on_demand(file: Path, store: Store) -> None:
    cells = read_sweep(file).cells
    standing = store.cell_states()
    assert to_run(cells, store, standing, False, rerun_changed=True) == cells[4:]
    make_by_other_code(store, cells[0], {**source_digests(cells[0].settings), "training": "0ld"})
    (Path(store.uri) / "cells" / cells[1].cell_id / "result.json").write_text("{")
    assert to_run(cells, store, standing, False) == cells[4:]
    assert to_run(cells, store, standing, False, rerun_changed=True) == cells[:2] + cells[4:]


def test_failures_by_cause_with_a_command_that_shows_one(
    file: Path, store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, said = say(file, store, capsys, "--failures", "--set", "training.lr=1e-4")
    assert code == 0
    assert "2 failed: ValueError: 7 of 10" in said
    assert "1 lost: its worker was lost twice" in said
    assert said.count("(log: ") == 1
    command = next(line for line in said.splitlines() if "see it" in line).partition(": ")[2]
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "pipeline.trial"]
    cell = read_sweep(file).cells[2].cell_id
    assert words[words.index("--cell") + 1] == cell
    assert trial_main(words[3:]) in (0, 1)
    assert cell in Store(store.uri).finished() | Store(store.uri).failed()


def test_no_failures(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = say(file, Store(str(tmp_path / "empty")), capsys, "--failures")
    assert said == "small: no cell has failed\n"


def test_a_run_of_nothing_says_what_failed_and_is_1(
    file: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for cell in read_sweep(file).cells[4:]:
        finish(store, cell)
    assert main([str(file), "--storage", store.uri, "--tracking", "none"]) == 1
    said = capsys.readouterr()
    assert "4 of 6 cells done" in said.out
    assert "2 failed: ValueError: 7 of 10" in said.err
    assert "--retry-failed" in said.err


def test_the_dry_run_names_time_and_cost(
    file: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--dry-run", "--concurrency", "2", "--price", "2.5"]
    _, said = say(file, store, capsys, *options)
    assert "time: about 2h00m of work, 1h00m on 2 slots" in said
    assert "cost: about 2 CPU-hours; no price" in said
    finish(store, read_sweep(file).cells[0], peak_memory_bytes=1)
    _, said = say(file, store, capsys, *options)
    assert "cost: about 2 GPU-hours, 5.00 at 2.5 a GPU-hour" in said
    _, said = say(file, store, capsys, *options, "--set", "resources.gpus={deep_linear: 0.25}")
    assert "cost: about 0.5 GPU-hours, 1.25 at 2.5 a GPU-hour" in said
    _, said = say(file, store, capsys, "--dry-run")
    assert "time: about 2h00m of work on GPUs; --concurrency N tells" in said


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        ("{deep_linaer: 0.5}", "no architecture 'deep_linaer'"),
        ("{deep_linear: 0}", "above 0 and at most 8"),
        ("1.5", "above 0 and at most 8, a whole one above 1, for all cells or by arch"),
        ("{deep_linear: 2.5}", "a whole one above 1"),
        ("0.00001", "above 0 and at most 8"),
        ("true", "above 0 and at most 8"),
        ("half", "above 0 and at most 8"),
    ],
)
def test_a_wrong_share_is_named(
    gpus: str, said: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(file), "--dry-run", "--set", f"resources.gpus={gpus}"]) == 2
    assert said in capsys.readouterr().err


def test_a_dry_run_says_which_cells_it_would_run_again(
    file: Path, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for cell in read_sweep(file).cells[3:4]:
        for _ in range(3):
            store.write_lost(ended(cell, "its worker was lost twice"))
    _, said = say(file, store, capsys, "--dry-run", "--set", "resources.cpus=99")
    assert "will run again" not in said
    assert "a cell asks for 99 CPUs and this machine has" in said
    _, said = say(file, store, capsys, "--dry-run", "--retry-failed", "--concurrency", "99")
    assert "2 failed cells will run again" in said
    assert "on 99 slots" not in said
