"""The command that runs one cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from pipeline.spec.read import read_sweep
from pipeline.store.store import Store
from pipeline.trial.command import main
from tests.helpers.stores.cells import DROPPED, NOISY, REGRESSION, cell, sweep_content


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({**sweep_content(REGRESSION), "seeds": 40}))
    return str(path)


def test_a_cell_is_named_by_how_its_id_begins(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = cell(REGRESSION, seed=7)
    storage = str(tmp_path / "results")
    assert main([file, "--cell", only.cell_id[:10], "--storage", storage]) == 0
    name, _, summary = capsys.readouterr().out.partition(": ok, ")
    assert name == only.cell_id
    assert json.loads(summary) == Store(storage).result(only.cell_id)["summary"]


def test_a_cell_that_raises_shows_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "raising.yaml"
    path.write_text(yaml.safe_dump(sweep_content(DROPPED)))
    storage = str(tmp_path / "results")
    only = cell(DROPPED).cell_id
    assert main([str(path), "--cell", only, "--storage", storage]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback")
    assert "ValueError" in error.splitlines()[-2] + error.splitlines()[-1]
    assert Store(storage).failed() == {only}


def test_a_finished_cell_is_replaced_only_when_asked(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = str(tmp_path / "results")
    only = cell(REGRESSION, seed=7).cell_id
    command = [file, "--cell", only, "--storage", storage]
    assert main(command) == 0
    first = Store(storage).result(only)
    assert main(command) == 2
    assert f"{only} has a result in {storage}; --replace" in capsys.readouterr().err
    assert Store(storage).result(only) == first
    assert main([*command, "--replace"]) == 0
    again = Store(storage).result(only)
    assert again["summary"] == first["summary"]
    assert again["cost"] != first["cost"]


def test_a_cache_that_cannot_be_written_loses_the_cell_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine is at fault, not the cell: the same sweep runs it again once that is mended."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NORMSCOPE_CACHE", str(tmp_path / "file/cache"))
    picture = tmp_path / "images/train/a/0.png"
    for place in (picture, tmp_path / "images/test/a/0.png"):
        place.parent.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(place)
    data = {"name": "image_folder", "path": str(tmp_path / "images"), "size": 32}
    content = sweep_content({**NOISY, "data": data})
    path, storage = tmp_path / "images.yaml", str(tmp_path / "results")
    path.write_text(yaml.safe_dump(content))
    (only,) = read_sweep(path).cells
    assert main([str(path), "--cell", only.cell_id, "--storage", storage]) == 1
    said = capsys.readouterr().err
    assert "set NORMSCOPE_CACHE to a folder" in said
    assert "Traceback" not in said
    assert Store(storage).cell_states().lost == {only.cell_id}


@pytest.mark.parametrize(("options", "threads"), [([], 2), (["--threads", "1"], 1)])
def test_it_has_the_threads_of_the_sweep_s_cells(
    options: list[str], threads: int, tmp_path: Path
) -> None:
    """Else one cell would have two results, one for each command."""
    path, storage = tmp_path / "two.yaml", str(tmp_path / "results")
    path.write_text(yaml.safe_dump({**sweep_content(REGRESSION), "resources": {"cpus": 2}}))
    only = cell(REGRESSION).cell_id
    assert main([str(path), "--cell", only, "--storage", storage, *options]) == 0
    assert Store(storage).result(only)["provenance"]["threads"] == threads


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cell", "zzz"], "--cell zzz: 0 cells begin so"),
        (["--cell", ""], "--cell : 40 cells begin so"),
        (["--cell", "CELL", "--device", "nonsense"], "--device nonsense: this machine has cpu"),
        (["--cell", "CELL", "--device", "meta"], "--device meta: this machine has cpu"),
        (["--cell", "CELL", "--device", "cuda:99"], "--device cuda:99: this machine has cpu"),
        pytest.param(
            ["--cell", "CELL", "--device", "cuda"],
            "--device cuda: this machine has cpu",
            marks=NO_GPU,
        ),
        (["--cell", "CELL", "--threads", "0"], "--threads 0: must be at least 1"),
        (["--cell", "CELL", "--storage", "nonsense://x"], "nonsense://x: not a place for a store"),
        (["--cell", "CELL", "--set", "training.stepz=5"], "steps"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: list[str],
    said: str,
    file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    known = cell(REGRESSION).cell_id
    assert main([file, *(known if word == "CELL" else word for word in options)]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not (tmp_path / "results").exists()
