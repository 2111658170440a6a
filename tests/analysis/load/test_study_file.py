from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from analysis.load import load, read_study, write_study
from analysis.study import Study
from pipeline.store import sealed
from tests.analysis import freeze

Change = Callable[[dict[str, bytes]], dict[str, bytes]]


@pytest.fixture(scope="module")
def study() -> Study:
    return load(str(freeze.STORE), records=False)


@pytest.fixture
def file(study: Study, tmp_path: Path) -> Path:
    write_study(study, tmp_path / "golden.study")
    return tmp_path / "golden.study"


def test_what_a_report_reads_comes_back_bit_for_bit(study: Study, file: Path) -> None:
    found = read_study(file)
    frames = {"planned", "runs", "reduced"}
    for name in {field.name for field in fields(Study)} - frames:
        assert getattr(found, name) == getattr(study, name), name
    assert set(found.reduced) == set(study.reduced)
    pairs = [(found.planned, study.planned), (found.runs, study.runs)]
    pairs += [(found.reduced[name], frame) for name, frame in study.reduced.items()]
    for one, other in pairs:
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_any_parquet_reader_reads_a_table(study: Study, file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        archive.extract("runs.parquet", tmp_path)
    found = pd.read_parquet(tmp_path / "runs.parquet")
    assert list(found["cell_id"]) == list(study.runs["cell_id"])


def test_a_large_study_is_small(file: Path) -> None:
    """The goal is 10 MB for the 351 cells of a sweep over architectures."""
    assert file.stat().st_size < 10e6 / 351 * 4


def facts(members: dict[str, bytes]) -> dict[str, bytes]:
    """A cell's setting is edited by hand."""
    return {**members, "study.json": members["study.json"].replace(b'"vgg11"', b'"vgg13"')}


def table(members: dict[str, bytes]) -> dict[str, bytes]:
    return {**members, "runs.parquet": members["planned.parquet"]}


def missing(members: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in members.items() if name != "runs.parquet"}


def added(members: dict[str, bytes]) -> dict[str, bytes]:
    return {**members, "more.parquet": members["runs.parquet"]}


def cut(members: dict[str, bytes]) -> dict[str, bytes]:
    return {**members, "study.json": members["study.json"][:-9]}


@pytest.mark.parametrize("change", [facts, table, missing, added, cut])
def test_a_changed_file_is_refused(change: Change, file: Path) -> None:
    rewrite(file, change)
    with pytest.raises(ValueError, match=r"golden.study: damaged, or not a study file; .* --save"):
        read_study(file)


def rewrite(file: Path, change: Change) -> None:
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    changed = change(members)
    assert changed != members
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in changed.items():
            archive.writestr(name, content)


def test_a_changed_byte_is_refused_or_changes_nothing(file: Path) -> None:
    """Some bytes of a ZIP archive mean nothing, as the time of a member."""
    content, refused = file.read_bytes(), 0
    places = [*range(0, len(content), len(content) // 60), *range(len(content) - 60, len(content))]
    for place in places:
        flipped = content[place] ^ 0x55
        file.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        try:
            read_study(file)
        except ValueError as error:
            assert str(error).startswith(f"{file}: damaged, or not a study file")  # noqa: PT017
            refused += 1
    assert refused > len(places) / 2


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path}: Is a directory"):
        read_study(tmp_path)


@pytest.mark.parametrize("content", [b"", b"name: a sweep file\n"])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.study").write_bytes(content)
    with pytest.raises(ValueError, match=r"other.study: damaged, or not a study file"):
        read_study(tmp_path / "other.study")


def test_another_layout_is_named(file: Path) -> None:
    def later(members: dict[str, bytes]) -> dict[str, bytes]:
        known = json.loads(members["study.json"])
        known = sealed({**{k: v for k, v in known.items() if k != "sha256"}, "layout": 2})
        return {**members, "study.json": json.dumps(known).encode()}

    rewrite(file, later)
    with pytest.raises(ValueError, match=r"layout 2 of a study file; this version .* layout 1"):
        read_study(file)
