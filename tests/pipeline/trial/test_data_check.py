"""Trials compare the content of their data with what the sweep and other trials read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.data import image_folder as images
from pipeline.spec.read import Cell, read_sweep
from pipeline.store.store import Store
from pipeline.sweep.forecast.dry_run import show_preview
from pipeline.trial import data_check
from pipeline.trial import run as trial
from pipeline.trial.command import main as trial_main
from pipeline.trial.data_check import check_data, data_lines, load_data
from pipeline.trial.run import run_and_record, run_trial
from tests.helpers.stores.cells import IMAGES, TRAINING, cell


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "results"))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a set of two classes whose images differ by ``grey``."""

    def write(path: str, grey: int, splits: tuple[str, ...] = ("train", "test")) -> Path:
        root = tmp_path / path
        for split in splits:
            for label, name in enumerate(("ape", "bee")):
                (root / split / name).mkdir(parents=True, exist_ok=True)
                for i in range(8):
                    pixels = np.full((8, 8), grey + 100 * label + i, dtype=np.uint8)
                    buffer = BytesIO()
                    Image.fromarray(pixels).save(buffer, "PNG")
                    (root / split / name / f"{i}.png").write_bytes(buffer.getvalue())
        return root

    return write


def sweep_file(folder: Path, path: Path) -> Path:
    data = {"name": "image_folder", "path": str(path), "size": 8, "validation": 0.25}
    base = {**IMAGES, "data": data, "training": {**TRAINING, "batch_size": 4, "steps": 2}}
    file = folder / "set.yaml"
    file.write_text(yaml.safe_dump({"name": "set", "base": base, "seeds": [0]}))
    return file


def only_cell(folder: Path, path: Path) -> Cell:
    (found,) = read_sweep(sweep_file(folder, path)).cells
    return found


def unread(known: Cell) -> Cell:
    """The cell as a driver knows it that cannot read the data."""
    return replace(known, contents={})


def test_a_result_records_the_content(tmp_path: Path, make: Any, store: Store) -> None:
    known = only_cell(tmp_path, make("set", 10))
    result = run_trial(known, store, "cpu")
    assert result["provenance"]["contents"] == known.contents
    embedded = run_trial(cell(IMAGES), store, "cpu")["provenance"]
    assert embedded["contents"] == {"data": f"sha256:{embedded['data_digest']}"}


def test_data_that_differ_from_those_of_the_sweep_are_an_error(
    tmp_path: Path, make: Any, store: Store
) -> None:
    root = make("set", 10)
    known = only_cell(tmp_path, root)
    make("set", 20)
    other = only_cell(tmp_path, root)
    assert run_and_record(known, store, "cpu") == "failed"
    error = store.failure(known.cell_id)["error"]
    assert f"data.path: {root} on " in error
    assert known.contents["data.path"][:19] in error
    assert other.contents["data.path"][:19] in error
    assert run_and_record(other, store, "cpu") == "ok"


def test_data_known_by_name_are_compared_between_trials(
    tmp_path: Path, make: Any, store: Store
) -> None:
    first, second = (
        only_cell(tmp_path, make(path, grey)) for path, grey in (("a/s", 1), ("b/s", 2))
    )
    assert run_and_record(unread(first), store, "cpu") == "ok"
    assert run_and_record(unread(replace(first, cell_id="again")), store, "cpu") == "ok"
    assert run_and_record(unread(second), store, "cpu") == "failed"
    error = store.failure(second.cell_id)["error"]
    for known, path in ((first, "a/s"), (second, "b/s")):
        assert known.contents["data.path"][:19] in error
        assert str(tmp_path / path) in error
    assert "remove contents/" in error


def test_two_trials_that_are_first_at_once_both_see_the_other(
    tmp_path: Path, make: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        only_cell(tmp_path, make(path, grey)) for path, grey in (("a/s", 1), ("b/s", 2))
    )
    sets = [load_data(each.settings["data"]) for each in (first, second)]
    write = store.write_content

    def meanwhile(*words: Any) -> None:
        monkeypatch.setattr(store, "write_content", write)
        other = Store(store.root)
        other.write_content(words[0], "other", {**words[2], "digest": "sha256:other"})
        write(*words)

    monkeypatch.setattr(store, "write_content", meanwhile)
    with pytest.raises(
        ValueError, match="but other trials of this store read content sha256:other"
    ):
        check_data(unread(first), sets[0], store)
    (remaining,) = (path for path in Path(store.root).rglob("contents/*/*.json"))
    assert remaining.name == "other.json"


def test_data_that_change_while_they_are_read_are_an_error(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = only_cell(tmp_path, make("set", 10))
    decode = images.decode

    def change(*words: Any, **options: Any) -> Any:
        make("set", 30)
        return decode(*words, **options)

    monkeypatch.setattr(images, "decode", change)
    with pytest.raises(ValueError, match="the data changed while they were read"):
        load_data(known.settings["data"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.npy"), "failed"),
        (IsADirectoryError(21, "Is a directory", "x.png"), "failed"),
        (PermissionError(13, "Permission denied", "x.npy"), "failed"),
        (OSError(40, "Too many levels of symbolic links", "x.npy"), "failed"),
        (OSError(5, "Input/output error", "x.npy"), "lost"),
        (OSError(116, "Stale file handle", "x.npy"), "lost"),
    ],
)
def test_only_what_a_machine_could_not_read_is_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: OSError, status: str
) -> None:
    def refuse(*words: Any) -> None:
        raise error

    known = cell(IMAGES, lr=0.5)
    trial._dataset.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(data_check.catalog, "make", refuse)
        assert run_and_record(known, store, "cpu") == status
    report = store.failure if status == "failed" else store.read_lost
    assert error.strerror in report(known.cell_id)["error"]
    assert str(error.filename) in report(known.cell_id)["error"]


def test_an_image_that_cannot_be_decoded_is_a_failure(
    tmp_path: Path, make: Any, store: Store
) -> None:
    root = make("set", 10)
    (root / "train" / "ape" / "0.png").write_bytes(b"\x89PNG, so to say")
    known = only_cell(tmp_path, root)
    assert run_and_record(known, store, "cpu") == "failed"
    assert f"{root}/train/ape/0.png: not an image" in store.failure(known.cell_id)["error"]


def test_a_dry_run_says_what_it_cannot_read_and_what_stands_in(
    tmp_path: Path, make: Any, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    none = (False, False, None, None, None)
    show_preview(read_sweep(sweep_file(tmp_path, Path("/absent/set"))), store, *none)
    assert (
        "data.path: /absent/set cannot be read from here: its name (set) identifies it, "
        "trials compare its content, and cells have other ids than where it can be read"
    ) in capsys.readouterr().out
    root = make("set", 10, ("train", "val"))
    show_preview(read_sweep(sweep_file(tmp_path, root)), store, *none)
    assert f"data.path: {root}/test does not exist: {root}/val is" in capsys.readouterr().out
    assert data_lines(read_sweep(sweep_file(tmp_path, make("whole", 10))).cells) == []


def test_one_cell_alone_needs_its_data_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sweep_file(tmp_path, Path("/absent/set"))
    words = ["--cell", only_cell(tmp_path, Path("/absent/set")).cell_id]
    assert trial_main([str(file), *words, "--storage", str(tmp_path / "results")]) == 2
    error = capsys.readouterr().err
    assert error == "data.path: /absent/set does not exist on this machine\n"
