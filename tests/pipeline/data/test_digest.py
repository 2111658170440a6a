"""The digest of files: names, sizes and bytes; read once while nothing changes."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import fsspec
import pytest

from pipeline.data import _digest
from pipeline.data._digest import content, digest
from pipeline.data._sources import files_below


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    (root / "b").mkdir(parents=True)
    (root / "a.bin").write_bytes(b"one")
    (root / "b" / "c.bin").write_bytes(b"two")
    return root


def test_a_digest_is_of_names_sizes_and_bytes(folder: Path) -> None:
    own = {name: hashlib.sha256(data).hexdigest() for name, data in (("1", b"one"), ("2", b"two"))}
    text = f"a.bin\0{3}\0{own['1']}\nb/c.bin\0{3}\0{own['2']}\n"
    assert digest(files_below(str(folder))) == hashlib.sha256(text.encode()).hexdigest()


def test_a_digest_does_not_depend_on_the_place_or_on_the_order(folder: Path) -> None:
    sources = files_below(str(folder))
    found = digest(sources)
    moved = folder.rename(folder.with_name("elsewhere"))
    again = files_below(str(moved))
    assert digest(again[::-1]) == digest(again) == found


@pytest.mark.parametrize("change", ["bytes", "name", "more", "less"])
def test_a_digest_depends_on_every_file(folder: Path, change: str) -> None:
    before = digest(files_below(str(folder)))
    if change == "bytes":
        (folder / "b" / "c.bin").write_bytes(b"TWO")
    if change == "name":
        (folder / "a.bin").rename(folder / "d.bin")
    if change == "more":
        (folder / "d.bin").write_bytes(b"")
    if change == "less":
        (folder / "a.bin").unlink()
    assert digest(files_below(str(folder))) != before


def test_files_that_have_not_changed_are_not_read_again(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_digest, "_SETTLED", 0.0)
    found = digest(files_below(str(folder)))
    with monkeypatch.context() as patch:
        patch.setattr(_digest, "_computed", None)  # a call would raise
        assert digest(files_below(str(folder))) == found
    file = folder / "a.bin"
    times = file.stat()
    file.write_bytes(b"eno")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest(files_below(str(folder))) != found
    assert len([each for each in (cache / "digests").iterdir() if each.suffix == ""]) == 2


def test_a_file_that_has_just_changed_is_read_again(folder: Path, cache: Path) -> None:
    """It may change once more within the resolution of its times."""
    digest(files_below(str(folder)))
    assert not [each for each in (cache / "digests").iterdir() if each.suffix == ""]


def test_a_cache_that_cannot_be_written_costs_time_only(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = digest(files_below(str(folder)))
    for file in (cache / "digests").iterdir():
        file.unlink()
    (cache / "digests").rmdir()
    (cache / "digests").write_text("not a folder")
    assert digest(files_below(str(folder))) == found
    assert "cannot keep the data's digest, so each command computes it" in caplog.text


def test_a_remote_location_has_the_digest_of_the_local_one(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for split in ("train", "test"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / f"{split}.parquet").write_bytes(split.encode())
        memory.pipe_file(f"/digests/set/{split}.parquet", split.encode())
    local = content("parquet", str(tmp_path / "set"))
    assert content("parquet", "memory://digests/set") == local
    memory.pipe_file("/digests/set/test.parquet", b"TEST")
    assert content("parquet", "memory://digests/set").digest != local.digest


@pytest.mark.parametrize(
    ("number", "kind", "problem"),
    [
        (errno.EACCES, ValueError, r"a\.bin: cannot be read \(Permission denied\)"),
        (errno.ENOENT, ValueError, r"a\.bin: cannot be read \(No such file"),
        (errno.EIO, OSError, "Input/output error"),
    ],
)
def test_only_a_disk_that_fails_is_not_the_fault_of_the_data(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Exception],
    problem: str,
) -> None:
    def refuse(path: str, mode: str) -> None:
        raise OSError(number, os.strerror(number), path)

    sources = files_below(str(folder))
    monkeypatch.setattr(_digest, "open", refuse, raising=False)
    with pytest.raises(kind, match=problem):
        digest(sources)
