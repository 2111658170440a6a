"""A report that would be the same is not made again; whatever could differ is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.load import code_digest as made_by
from analysis.report.command import main
from pipeline.store.store import Store
from tests.helpers.stores.synthetic import write_store

SMALL = {
    "architectures": ["mlp"],
    "normalizers": ["none", "batch"],
    "lrs": [0.1],
    "seeds": [0, 1],
    "steps": 20,
    "tables": ["training"],
}
SAID = "report is up to date: "


@pytest.fixture(scope="module")
def reported(all_undrawn: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and its report; nothing in them depends on where they are."""
    folder = tmp_path_factory.mktemp("reported")
    write_store(folder / "store", **SMALL)
    assert report(folder) == 0
    return folder


@pytest.fixture
def folder(reported: Path, tmp_path: Path) -> Path:
    shutil.copytree(reported, tmp_path, dirs_exist_ok=True)
    return tmp_path


def report(folder: Path, *arguments: str) -> int:
    where = ["--storage", str(folder / "store"), "--out", str(folder / "out")]
    return main([*where, "--tracking", "none", *arguments])


def said(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert report(folder, *arguments) == 0
    return capsys.readouterr().out


def contents(folder: Path) -> dict[str, bytes]:
    found = sorted((folder / "out").rglob("*.*"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_nothing_is_made_again(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)
    monkeypatch.setattr("analysis.load.reader.Reader.study", None)  # a call would raise
    assert SAID in said(folder, capsys)
    assert contents(folder) == before


def lost_figure(folder: Path) -> None:
    next((folder / "out/figures").glob("*.svg")).unlink()


def edited_page(folder: Path) -> None:
    path = folder / "out/report.html"
    path.write_bytes(path.read_bytes() + b" ")


def edited_manifest(folder: Path) -> None:
    (folder / "out/manifest.json").write_text("{}")


def damaged_note(folder: Path) -> None:
    path = folder / "out.cache/report.json"
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("damage", [lost_figure, edited_page, edited_manifest, damaged_note])
def test_a_damaged_report_is_made_again(
    folder: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    damage(folder)
    assert SAID not in said(folder, capsys)
    assert contents(folder) == before
    assert SAID in said(folder, capsys)


def absent_result(store: Store, cell: str) -> None:
    (Path(store.root) / "cells" / cell / "result.json").unlink()


def failed_cell(store: Store, cell: str) -> None:
    absent_result(store, cell)
    store.write_failure({"cell_id": cell, "error": "none of that"})


def other_number(store: Store, cell: str) -> None:
    result = store.result(cell)
    tables = {name: store.records(result, name) for name in ("training",)}
    summary = {**result["summary"], "test_accuracy": 0.5}
    store.write_result(
        {**result, "summary": summary}, {k: t for k, t in tables.items() if t is not None}
    )


def other_label(store: Store, cell: str) -> None:
    plan = store.plan("synthetic")
    plan["labels"][cell]["architecture"] = "vgg11"
    store.write_plan(plan)


@pytest.mark.parametrize("change", [absent_result, failed_cell, other_number, other_label])
def test_a_changed_store_is_reported_anew(
    folder: Path, change: Callable[[Store, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    store = Store(str(folder / "store"))
    change(store, store.plan("synthetic")["cells"][0])
    assert SAID not in said(folder, capsys)
    assert contents(folder) != before
    assert SAID in said(folder, capsys)


def test_another_seed_is_another_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert SAID not in said(folder, capsys, "--seed", "1")
    assert SAID in said(folder, capsys, "--seed", "1")


def test_other_code_makes_it_anew(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.report.up_to_date.code", lambda: "later")
    assert SAID not in said(folder, capsys)


def test_a_damaged_record_is_looked_at_each_time_and_strict_always_looks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert SAID not in said(folder, capsys, "--strict")
    file = next((folder / "store/cells").glob("*/training.parquet"))
    whole = file.read_bytes()
    file.write_bytes(b"damaged")
    for path in (folder / "out.cache").glob("*.zip"):
        path.unlink()
    for _ in range(2):
        assert SAID not in said(folder, capsys)
        assert b"training.parquet" in (folder / "out/report.md").read_bytes()
    file.write_bytes(whole)
    assert SAID not in said(folder, capsys)
    assert b"training.parquet" not in (folder / "out/report.md").read_bytes()


def test_every_file_of_the_package_counts(tmp_path: Path) -> None:
    shutil.copytree(Path(made_by.__file__).parents[1], tmp_path / "analysis")
    seen = {made_by.digest_of(tmp_path / "analysis")}
    assert seen == {made_by.code()}
    for name in ("render/page.css", "render/page.html.j2", "report/command.py"):
        path = tmp_path / "analysis" / name
        path.write_text(path.read_text() + "\n")
        seen.add(made_by.digest_of(tmp_path / "analysis"))
    assert len(seen) == 4
