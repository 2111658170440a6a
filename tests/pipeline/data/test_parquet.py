from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from pipeline.data.parquet import parquet

Write = Callable[..., Path]
_TRAIN = "train-00000-of-00001.parquet"
_TEST = "test-00000-of-00001.parquet"
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_LABELS = [i % 4 for i in range(40)]


@pytest.fixture
def write(
    tmp_path: Path, noise: NDArray[np.uint8], png: Callable[[NDArray[np.uint8]], bytes]
) -> Write:
    """Write a shard of the noise images from ``start`` to ``stop``, or of other images, labels."""
    files = [png(image) for image in noise]

    def shard(
        name: str,
        start: int = 0,
        stop: int = 40,
        *,
        labels: Sequence[int | None] | None = None,
        images: Sequence[bytes | None] | None = None,
        columns: tuple[str, str] = ("img", "label"),
        **others: Any,
    ) -> Path:
        stored = images if images is not None else files[start:stop]
        table = {
            columns[0]: pa.array([{"bytes": file, "path": None} for file in stored], _IMAGE),
            columns[1]: pa.array(labels if labels is not None else _LABELS[start:stop], pa.int64()),
        }
        folder = tmp_path / "set"
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.table({**table, **others}), folder / name)
        return folder

    return shard


@pytest.fixture
def folder(write: Write) -> Path:
    """Forty training rows and eight test rows, of four classes."""
    write(_TRAIN)
    return write(_TEST, 0, 8)


def test_counts_and_pixels(folder: Path, noise: NDArray[np.uint8]) -> None:
    dataset = parquet(path=str(folder), validation=0.2)
    assert (dataset.task.input_shape, dataset.task.outputs) == ((3, 4, 6), 4)
    assert dataset.train.targets.bincount().tolist() == [8] * 4
    assert dataset.validation.targets.bincount().tolist() == [2] * 4
    np.testing.assert_array_equal(dataset.test.inputs, noise[:8].transpose(0, 3, 1, 2))
    assert dataset.test.targets.tolist() == _LABELS[:8]


def test_shards_are_one_set(folder: Path, write: Write) -> None:
    whole = parquet(path=str(folder))
    (folder / _TRAIN).unlink()
    write("train-00001-of-00002.parquet", 15, 40)
    write("train-00000-of-00002.parquet", 0, 15)
    assert parquet(path=str(folder)).digest == whole.digest


def test_limit_keeps_the_first_training_rows(folder: Path, noise: NDArray[np.uint8]) -> None:
    dataset = parquet(path=str(folder), limit=2, validation=0)
    np.testing.assert_array_equal(dataset.train.inputs, noise[:2].transpose(0, 3, 1, 2))
    assert dataset.task.outputs == 4
    assert len(dataset.test.targets) == 8


@pytest.mark.parametrize("limit", [0, 41])
def test_limit_is_checked(folder: Path, limit: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and the 40 training rows, not {limit}"):
        parquet(path=str(folder), limit=limit)


def test_decoded_once_for_the_same_bytes(
    folder: Path, write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = parquet(path=str(folder))
    moved = folder.rename(folder.with_name("elsewhere"))
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.data.parquet.decode", None)  # a call would raise
        assert parquet(path=str(moved)).digest == first.digest
    write(_TRAIN)
    changed = write(_TEST, 8, 16)
    assert parquet(path=str(changed)).digest != first.digest
    assert len(list(cache.glob("*.npz"))) == 2


def test_columns_are_found_by_type_or_named(write: Write) -> None:
    other = {"id": [str(i) for i in range(40)]}
    for name in (_TRAIN, _TEST):
        folder = write(name, columns=("picture", "kind"), **other)
    assert parquet(path=str(folder)).task.outputs == 4
    coarse = {"coarse_label": [i % 2 for i in range(40)]}
    for name in (_TRAIN, _TEST):
        write(name, columns=("image", "fine_label"), **coarse)
    assert parquet(path=str(folder)).task.outputs == 4
    assert parquet(path=str(folder), label="coarse_label").task.outputs == 2


def test_uri(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for file in folder.iterdir():
        memory.pipe_file(f"/bucket/set/{file.name}", file.read_bytes())
    dataset = parquet(path="memory://bucket/set")
    assert dataset.digest == parquet(path=str(folder)).digest


def test_shards_that_are_missing(folder: Path, write: Write) -> None:
    write("train-00002-of-00003.parquet")
    with pytest.raises(ValueError, match="the train files are not one whole set of shards"):
        parquet(path=str(folder))
    for file in folder.glob("train*"):
        file.unlink()
    with pytest.raises(ValueError, match=rf"has no file {_TRAIN} \(it has: {_TEST}\)"):
        parquet(path=str(folder))
    with pytest.raises(ValueError, match="is not a folder with files train-00000"):
        parquet(path=str(folder / "absent"))
    with pytest.raises(ValueError, match="cannot read the folder nosuch://x"):
        parquet(path="nosuch://x")


_FLOATS = pa.array(np.arange(40.0))


@pytest.mark.parametrize(
    ("name", "shard", "options", "problem"),
    [
        (
            _TEST,
            {"labels": [*_LABELS[:39], -1]},
            {},
            r"column 'label', row 39: label -1, as rows without",
        ),
        (_TRAIN, {"labels": [None] * 40}, {}, r"column 'label', row 0: has no label; leave out"),
        (_TRAIN, {"labels": [7, *_LABELS[1:]]}, {}, r"row 0: label 7, but no training row .* 4"),
        (_TRAIN, {"labels": [1] * 40}, {}, r"row 0: label 1, but no training row has label 0"),
        (_TEST, {"labels": [*_LABELS[:39], 4]}, {}, r"row 39: label 4, but no training row"),
        (_TRAIN, {"images": [b"x"] * 40}, {}, r"column 'img', row \d+: not an image"),
        (_TEST, {"images": [None] * 40}, {}, r"column 'img', row \d+: no image bytes"),
        (_TEST, {"stop": 0}, {}, r"the test files have no rows"),
        (_TEST, {"columns": ("img", "target")}, {"label": "label"}, r"no label column label"),
        (_TRAIN, {"columns": ("a", "b")}, {"image": "img"}, r"no image column img: .*struct"),
        (_TRAIN, {"score": _FLOATS}, {"label": "score"}, r"no label column score: .* integer"),
        (_TRAIN, {"columns": ("img", "a"), "b": _LABELS}, {}, r"no label column was found.* a, b"),
    ],
)
def test_bad_rows_and_columns_are_named(
    folder: Path,
    write: Write,
    name: str,
    shard: dict[str, Any],
    options: dict[str, Any],
    problem: str,
) -> None:
    write(name, **shard)
    with pytest.raises(ValueError, match=problem) as error:
        parquet(path=str(folder), **options)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_file_that_is_not_parquet(folder: Path) -> None:
    (folder / _TEST).write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=f"{_TEST}: not a whole Parquet file"):
        parquet(path=str(folder))
