"""Places that do not keep what they get: a cell counts once its files read back as written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.store.store import Store, StoreError
from pipeline.trial import run as trial
from pipeline.trial.run import run_and_record
from tests.helpers.stores.cells import REGRESSION, cell
from tests.pipeline.store.conftest import files, is_valid, result, tables

Spoil = Callable[[bytes], bytes]


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.fixture(params=[truncated, flipped])
def spoil(request: pytest.FixtureRequest) -> Spoil:
    return request.param


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def make_disk_lie(monkeypatch: pytest.MonkeyPatch, spoil: Spoil, times: int) -> None:
    """Let the first files that are forced to the disk come out of it spoilt."""
    fsync, left = os.fsync, [times]

    def lying(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if left[0] and stat.S_ISREG(status.st_mode):
            left[0] -= 1
            spoilt = spoil(os.pread(descriptor, status.st_size, 0))
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, spoilt, 0)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", lying)


@pytest.mark.parametrize("times", [1, 2])
def test_what_a_disk_spoils_is_written_again(
    times: int, spoil: Spoil, local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_disk_lie(monkeypatch, spoil, times)
    written = local.write_result(result(), tables())
    assert is_valid(local)
    assert files(tmp_path) == {f"cells/aa/{name}" for name in local.files(written)}


def test_a_disk_that_spoils_all_has_no_finished_cell(
    spoil: Spoil, local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_disk_lie(monkeypatch, spoil, 1000)
    said = r"training\.parquet: cannot be written: its disk does not keep what is written"
    with pytest.raises(StoreError, match=said):
        local.write_result(result(), tables())
    assert local.finished() == set()
    assert files(tmp_path) == set()


def test_a_trial_on_such_a_disk_is_lost_and_says_why(
    spoil: Spoil, local: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trial, "run_trial", lambda *_: local.write_result(result(), tables()))
    make_disk_lie(monkeypatch, spoil, 1000)
    assert run_and_record(cell(REGRESSION), local, "cpu") == "lost"
    assert "its disk does not keep what is written: tried 3 times" in capsys.readouterr().err


def make_objects_lie(
    monkeypatch: pytest.MonkeyPatch, store: Store, spoil: Spoil, ending: str, times: int
) -> None:
    """Let the first objects with such a name come back spoilt."""
    put, left = store.filesystem.pipe_file, [times]

    def lying(path: str, value: bytes) -> None:
        spoils = bool(left[0]) and path.endswith(ending)
        left[0] -= spoils
        put(path, spoil(value) if spoils else value)

    monkeypatch.setattr(store.filesystem, "pipe_file", lying)


@pytest.mark.parametrize("store", ["memory"], indirect=True)
@pytest.mark.parametrize("ending", ["training.parquet", "gradient_ics.parquet", "result.json"])
def test_what_object_storage_spoils_is_written_again(
    ending: str, spoil: Spoil, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_objects_lie(monkeypatch, store, spoil, ending, 2)
    written = store.write_result(result(number=1.25), tables())
    assert is_valid(store)
    assert store.result("aa") == written


@pytest.mark.parametrize("store", ["memory"], indirect=True)
@pytest.mark.parametrize("ending", ["training.parquet", "result.json"])
def test_object_storage_that_spoils_all_has_no_finished_cell(
    ending: str, spoil: Spoil, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_objects_lie(monkeypatch, store, spoil, ending, 1000)
    with pytest.raises(StoreError, match=r"cells/aa: what is written does not stay"):
        store.write_result(result(), tables())
    assert store.finished() == set()


def test_a_file_is_forced_to_the_disk_before_it_has_its_name_and_its_name_after(
    local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, replace, seen = os.fsync, os.replace, []

    def forced(descriptor: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{descriptor}").split(".")[0])
        fsync(descriptor)

    def named(source: str, target: str) -> None:
        seen.append("named")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", forced)
    monkeypatch.setattr(os, "replace", named)
    local.write_file("cells/aa/result.json", b"{}")
    above, folder = str(tmp_path / "cells"), str(tmp_path / "cells/aa")
    assert seen == [str(tmp_path), above, f"{folder}/result", "named", folder]
