from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import _cache
from pipeline.data._cache import cached
from pipeline.data._folders import CacheError, cache_folder, data_folder
from pipeline.data._images import Images


class _Maker:
    """Makes two splits, slowly, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, Images]:
        self.calls += 1
        time.sleep(0.05)
        return {name: _images(seed) for seed, name in enumerate(("train", "test"))}


def _images(seed: int) -> Images:
    rng = np.random.default_rng(seed)
    labels = np.arange(5, dtype=np.int64)
    return Images(rng.integers(0, 256, (5, 3, 2, 2), dtype=np.uint8), labels)


def _check(splits: object) -> None:
    assert isinstance(splits, dict)
    assert list(splits) == ["train", "test"]
    for seed, images in enumerate(splits.values()):
        for found, right in zip(images, _images(seed), strict=True):
            np.testing.assert_array_equal(found, right, strict=True)


def test_second_call_reads_what_the_first_wrote(cache: Path) -> None:
    maker = _Maker()
    _check(cached("key", maker))
    _check(cached("key", maker))
    assert maker.calls == 1
    lock, file = sorted(file.name for file in cache.iterdir())
    assert file == lock.replace(".lock", ".npz")
    assert file.startswith("key-")


def test_keys_are_apart() -> None:
    maker = _Maker()
    cached("one", maker)
    cached("two", maker)
    assert maker.calls == 2


def test_callers_at_once_make_it_once() -> None:
    maker = _Maker()
    with ThreadPoolExecutor(4) as pool:
        for splits in pool.map(lambda _: cached("key", maker), range(4)):
            _check(splits)
    assert maker.calls == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damaged_file_is_made_anew(cache: Path, damage: str) -> None:
    maker = _Maker()
    cached("key", maker)
    (file,) = cache.glob("key-*.npz")
    whole = file.read_bytes()
    middle = whole.find(b"\x93NUMPY") + 130  # inside the first array
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    file.write_bytes(
        {"cut": whole[:-40], "flipped": flipped, "empty": b"", "text": b"hello"}[damage]
    )
    _check(cached("key", maker))
    assert maker.calls == 2
    _check(cached("key", maker))
    assert maker.calls == 2


def test_failure_leaves_nothing_and_frees_the_lock(cache: Path) -> None:
    def fail() -> dict[str, Images]:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        cached("key", fail)
    assert not list(cache.glob("*.npz"))
    _check(cached("key", _Maker()))


def test_unwritable_cache_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NORMSCOPE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CacheError, match="set NORMSCOPE_CACHE to a folder"):
        cached("key", _Maker())


def test_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert data_folder() == tmp_path / "downloads"
    monkeypatch.delenv("NORMSCOPE_DATA")
    assert data_folder() == Path.home() / ".cache/normscope/data"


def test_what_other_code_decoded_is_not_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached("key", lambda: {"train": _images(0)})
    monkeypatch.setattr(_cache, "_code_digest", lambda: "0" * 12)
    again = cached("key", lambda: {"train": _images(1)})
    assert not np.array_equal(first["train"].pixels, again["train"].pixels)
    assert len(list(cache.glob("key-*.npz"))) == 2


@pytest.mark.parametrize("folder", ["s3://bucket/x", "~nobody-here/x"])
def test_a_cache_is_a_folder_of_this_machine(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSCOPE_CACHE", folder)
    with pytest.raises(ValueError, match=f"NORMSCOPE_CACHE: {folder}"):
        cache_folder()
