"""The identity of a cell's data is their content, or their name where they cannot be read."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import fsspec
import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.spec import contents
from pipeline.spec.contents import name_of
from pipeline.spec.read import Cell, SpecError, plan, read_sweep
from pipeline.store.filesystem import json_bytes
from tests.helpers.parts import tiny_catalog as small_parts

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a folder of two classes, one image each and split; ``grey`` is its pixels' value."""

    def images(path: str, grey: int) -> Path:
        root = tmp_path / path
        for split in ("train", "test"):
            for name in ("ape", "bee"):
                (root / split / name).mkdir(parents=True, exist_ok=True)
                buffer = BytesIO()
                Image.fromarray(np.full((8, 8), grey, dtype=np.uint8)).save(buffer, "PNG")
                (root / split / name / "0.png").write_bytes(buffer.getvalue())
        return root

    return images


def cells(folder: Path, *paths: str | Path) -> list[Cell]:
    """The cells of a sweep over image folders."""
    data = [{"name": "image_folder", "path": str(path), "size": 8} for path in paths]
    base = {"architecture": {"name": "vgg11", "width": 0.125}, "normalizer": "batch"}
    file = folder / "sets.yaml"
    file.write_text(yaml.safe_dump({"name": "sets", "base": base, "grid": {"data": data}}))
    return read_sweep(file, ["seeds=1"]).cells


def ids(folder: Path, *paths: str | Path) -> list[str]:
    return [cell.cell_id for cell in cells(folder, *paths)]


def test_two_sets_of_one_name_are_two_cells_with_two_labels(tmp_path: Path, make: Make) -> None:
    found = cells(tmp_path, make("a/set/data", 1), make("b/set/data", 2))
    assert len({cell.cell_id for cell in found}) == 2
    assert [cell.labels["data"] for cell in found] == [
        "image_folder(path=a/set/data, size=8)",
        "image_folder(path=b/set/data, size=8)",
    ]
    assert all(cell.contents["data.path"].startswith("sha256:") for cell in found)


def test_the_same_data_elsewhere_are_the_same_cell(tmp_path: Path, make: Make) -> None:
    first = make("a/cifar", 1)
    before = ids(tmp_path, first)
    shutil.copytree(first, tmp_path / "b" / "another")
    (tmp_path / "link").symlink_to(first)
    assert ids(tmp_path, tmp_path / "b" / "another") == before
    assert ids(tmp_path, tmp_path / "link") == before
    assert ids(tmp_path, first, tmp_path / "b" / "another") == before


def test_data_that_change_in_place_are_new_cells(tmp_path: Path, make: Make) -> None:
    before = ids(tmp_path, make("set", 1))
    assert ids(tmp_path, make("set", 2)) != before
    assert ids(tmp_path, make("set", 1)) == before


def test_what_is_not_read_does_not_change_a_cell(tmp_path: Path, make: Make) -> None:
    root = make("set", 1)
    before = ids(tmp_path, root)
    (root / "README.md").write_text("about the data")
    (root / "train" / ".DS_Store").write_bytes(b"\x00")
    (root / "train" / "ape" / "._0.png").write_bytes(b"\x00")
    assert ids(tmp_path, root) == before


def test_each_location_is_read_once(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    read = contents.content_of
    monkeypatch.setattr(contents, "content_of", lambda each: calls.append(each.value) or read(each))
    root = make("set", 1)
    file = tmp_path / "many.yaml"
    data = {"name": "image_folder", "path": str(root), "size": 8}
    base = {"data": data, "architecture": "vgg11", "normalizer": "batch"}
    grid = {"training.lr": [0.1, 0.2, 0.3], "data.size": [8, 16]}
    file.write_text(yaml.safe_dump({"name": "many", "base": base, "grid": grid}))
    assert len(read_sweep(file, ["seeds=50"]).cells) == 300
    assert calls == [str(root)]


def test_wrong_data_are_said_before_anything_runs(tmp_path: Path, make: Make) -> None:
    root = make("set", 1)
    (root / "train" / "ape" / "1.png").symlink_to("nowhere.png")
    with pytest.raises(SpecError) as error:
        cells(tmp_path, root)
    assert str(error.value) == (
        f"{tmp_path}/sets.yaml:7: grid.data.path: "
        f"{root}/train/ape/1.png: a broken link to nowhere.png; restore or remove it"
    )


def test_two_sets_of_one_name_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    assert len(cells(tmp_path, "/absent/a/svhn", "/absent/a/cifar")) == 2
    assert len(cells(tmp_path, "/absent/a/svhn", "/absent/./a/svhn/")) == 1
    with pytest.raises(SpecError, match="cannot be read from here, and their last parts are both"):
        cells(tmp_path, "/absent/a/data", "/absent/b/data")


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("/a/b/", "b"),
        ("/", "/"),
        ("s3://bucket", "bucket"),
        ("s3://user:secret@bucket/", "bucket"),
        ("https://host/a/set?token=secret", "set"),
        ("memory://", "memory://"),
        ("file:///a/b", "b"),
    ],
)
def test_name_of_a_location(location: str, name: str) -> None:
    assert name_of(location) == name


def test_the_name_of_a_relative_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_of(".") == tmp_path.name
    assert name_of("..") == tmp_path.parent.name


def sweep_of_small_parts(folder: Path, data: Mapping[str, object]) -> list[Cell]:
    file = folder / "small.yaml"
    base = {"data": data, "architecture": "vgg11", "normalizer": "batch"}
    file.write_text(yaml.safe_dump({"name": "small", "base": base}))
    sweep = read_sweep(file, ["seeds=1"])
    assert "secret" not in json_bytes(plan(sweep)).decode()
    return sweep.cells


def test_remote_data_are_read_where_they_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_parts.install(monkeypatch, tmp_path / "parts")
    memory = fsspec.filesystem("memory")
    for split in ("train", "test"):
        memory.pipe_file(f"/contents/set/{split}.parquet", split.encode())
    data = {"name": "parquet", "path": "memory://contents/set"}
    (cell,) = sweep_of_small_parts(tmp_path, data)
    assert set(cell.contents) == {"data.path"}
    (other,) = sweep_of_small_parts(tmp_path, {**data, "path": "memory://contents/absent"})
    assert other.contents == {}
    assert other.labels["data"] == "parquet(path=absent)"


def test_a_remote_location_that_does_not_answer_is_known_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_parts.install(monkeypatch, tmp_path / "parts")
    monkeypatch.setattr(contents, "_PATIENCE", 0.05)
    monkeypatch.setattr(fsspec, "url_to_fs", lambda path: __import__("time").sleep(1))
    path = "s3://user:secret@bucket/set?key=secret"
    (cell,) = sweep_of_small_parts(tmp_path, {"name": "parquet", "path": path})
    assert (cell.contents, cell.labels["data"]) == ({}, "parquet(path=set)")


def test_every_location_of_every_part_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_parts.install(monkeypatch, tmp_path / "parts")
    networks = tmp_path / "parts" / "architectures" / "loaded.py"
    networks.write_text(
        "def loaded(task, norm, *, weights: list[Location], more: Location | None = None):\n"
        '    """Loaded."""\n'
    )
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())
    base: dict[str, object] = {"data": "digits", "normalizer": "batch"}
    weights = [str(tmp_path / "one"), str(tmp_path / "two"), "/absent/three"]
    base["architecture"] = {"name": "loaded", "weights": weights}
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump({"name": "small", "base": base}))
    (before,) = read_sweep(file, ["seeds=1"]).cells
    assert set(before.contents) == {"architecture.weights[0]", "architecture.weights[1]"}
    assert before.labels["architecture"] == 'loaded(weights=["one", "two", "three"])'
    (tmp_path / "two").write_bytes(b"changed")
    (after,) = read_sweep(file, ["seeds=1"]).cells
    assert after.cell_id != before.cell_id
