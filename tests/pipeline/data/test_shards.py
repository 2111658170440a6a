"""Parquet files as the Hugging Face Hub lays them out, and their labels."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from pipeline.data._digest import content
from pipeline.data._shards import find_shards
from pipeline.data.parquet import parquet

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_HASH = "a09b74b3ef9c3b56"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, png: Callable[[NDArray[np.uint8]], bytes]) -> Write:
    """Write a file of grey images, the value of each its position times ten."""

    def file(
        path: str,
        labels: Sequence[int | str] = (0, 1, 0, 1),
        names: Sequence[str] | None = None,
        kind: pa.DataType | None = None,
    ) -> Path:
        root = tmp_path / "set"
        pixels = [np.full((2, 2), 10 * i, dtype=np.uint8) for i in range(len(labels))]
        images = pa.array([{"bytes": png(each), "path": None} for each in pixels], _IMAGE)
        table = pa.table({"image": images, "label": pa.array(list(labels), kind)})
        if names:
            feature = {"label": {"names": list(names), "_type": "ClassLabel"}}
            told = {"huggingface": json.dumps({"info": {"features": feature}})}
            table = table.replace_schema_metadata(told)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, root / path)
        return root

    return file


@pytest.mark.parametrize(
    "pattern",
    [
        "{}-00000-of-00001.parquet",
        f"{{}}-00000-of-00001-{_HASH}.parquet",
        f"data/{{}}-00000-of-00001-{_HASH}.parquet",
        "plain_text/{}-00000-of-00001.parquet",
        "plain_text/{}/0000.parquet",
        "{}/0000.parquet",
        "{}.parquet",
        "data/{}.parquet",
    ],
)
def test_every_layout_is_one_dataset(write: Write, pattern: str) -> None:
    write(pattern.format("train"))
    root = write(pattern.format("test"), [1, 0])
    dataset = parquet(path=str(root), validation=0)
    assert dataset.train.targets.tolist() == [0, 1, 0, 1]
    assert dataset.test.targets.tolist() == [1, 0]
    assert dataset.train.inputs[:, 0, 0, 0].tolist() == [0, 10, 20, 30]


def test_the_digest_is_that_of_the_data_and_not_of_the_layout(write: Write, tmp_path: Path) -> None:
    write("train-00000-of-00001.parquet")
    root = write("test-00000-of-00001.parquet").rename(tmp_path / "first")
    write(f"data/train-00000-of-00001-{_HASH}.parquet")
    other = write(f"data/test-00000-of-00001-{_HASH}.parquet")
    (other / "README.md").write_text("about the data")
    (other / "data" / "._train-00000-of-00001.parquet").write_bytes(b"\x00")
    assert content("parquet", str(other)).digest == content("parquet", str(root)).digest


def test_shards_with_hashes_and_numbered_ones_are_in_order(write: Write) -> None:
    write("train-00001-of-00002-bbbb.parquet", [1])
    write("train-00000-of-00002-cccc.parquet", [0])
    for number, label in ((10, 1), (2, 0)):
        write(f"test/{number:04}.parquet", [label])
    for number in (*range(2), *range(3, 10)):
        write(f"test/{number:04}.parquet", [0])
    found = find_shards(str(write("notes.parquet")))
    assert [Path(s.path).name for s in found.splits["train"]] == [
        "train-00000-of-00002-cccc.parquet",
        "train-00001-of-00002-bbbb.parquet",
    ]
    assert [Path(s.path).stem for s in found.splits["test"]] == [f"{i:04}" for i in range(11)]


@pytest.mark.parametrize("word", ["validation", "valid", "val", "dev"])
def test_validation_files(write: Write, word: str, caplog: pytest.LogCaptureFixture) -> None:
    write("train-00000-of-00001.parquet")
    root = write(f"{word}-00000-of-00001.parquet", [1, 1, 0])
    with caplog.at_level(logging.WARNING):
        alone = parquet(path=str(root), validation=0.5)
    assert f"has no test files: {word} is the test split" in caplog.text
    assert alone.test.targets.tolist() == [1, 1, 0]
    assert len(alone.validation.targets) == 2
    write("test-00000-of-00001.parquet", [0])
    beside = parquet(path=str(root), validation=0.5)
    assert beside.validation.targets.tolist() == [1, 1, 0]
    assert (len(beside.train.targets), beside.test.targets.tolist()) == (4, [0])


def test_a_test_split_without_labels(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write("train.parquet")
    write("validation.parquet", [1, 1, 0])
    root = write("test.parquet", [-1, -1])
    for _ in range(2):  # the second time from the cache
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            dataset = parquet(path=str(root), validation=0.5)
        assert f"{root}: the test files have no labels: validation is the test" in caplog.text
        assert dataset.test.targets.tolist() == [1, 1, 0]
        assert len(dataset.validation.targets) == 2
    (root / "validation.parquet").unlink()
    with pytest.raises(
        ValueError, match=r"test.parquet: column 'label', row 0: label -1, as rows without"
    ):
        parquet(path=str(root))


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["a/train.parquet", "b/train.parquet"], r"several configurations \(a, b\); name one"),
        (["train.parquet", "val.parquet", "valid.parquet"], "val and valid are both validation"),
        (["train.parquet", "train-00000-of-00001.parquet"], "not one whole set of shards"),
        (["train/0000.parquet", "train/0002.parquet"], "not one whole set of shards"),
        ([f"train-00000-of-00001-{h}.parquet" for h in "ab"], "not one whole set of shards"),
        (["train.parquet"], "has no file test-00000-of-00001.parquet"),
        (["partial-train/0000.parquet"], "has no file train-00000-of-00001.parquet"),
    ],
)
def test_layouts_that_are_refused(write: Write, files: list[str], problem: str) -> None:
    roots = {write(name) for name in files}
    with pytest.raises(ValueError, match=problem):
        find_shards(str(roots.pop()))


_NAMES = ["ape", "bee", "cat"]


@pytest.mark.parametrize(
    ("train", "test", "names", "kind", "numbers"),
    [
        (["cat", "ape", "bee", "ape"], ["bee"], None, None, ([2, 0, 1, 0], [1])),
        (["cat", "ape"], ["bee"], ["cat", "bee", "ape"], None, ([0, 2], [1])),
        (["b", "a"], ["a"], None, pa.dictionary(pa.int32(), pa.string()), ([1, 0], [0])),
        ([1, 2, 3, 1], [3, 1], None, None, ([0, 1, 2, 0], [2, 0])),
        ([1, 2, 1], [3], _NAMES, None, ([0, 1, 0], [2])),
        ([0, 2], [1], _NAMES, None, ([0, 2], [1])),
        ([1, 2], [1], _NAMES, None, ([1, 2], [1])),
        ([0, 1], [1], None, pa.uint8(), ([0, 1], [1])),
    ],
)
def test_labels_are_numbered(
    write: Write,
    train: list[int | str],
    test: list[int | str],
    names: list[str] | None,
    kind: pa.DataType | None,
    numbers: tuple[list[int], list[int]],
) -> None:
    write("train.parquet", train, names, kind)
    dataset = parquet(path=str(write("test.parquet", test, names, kind)), validation=0)
    assert (dataset.train.targets.tolist(), dataset.test.targets.tolist()) == numbers


def test_labels_from_one_are_said(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write("train.parquet", [1, 2])
    with caplog.at_level(logging.WARNING):
        parquet(path=str(write("test.parquet", [2])))
    assert "labels are 1 to 2: class number is label - 1" in caplog.text


@pytest.mark.parametrize(
    ("train", "test", "names", "problem"),
    [
        ([1, 2], [0], None, r"row 0: label 1, but no training row has label 0"),
        ([1, 3], [1], None, r"row 0: label 1, but no training row has label 0: .* or 1 … K"),
        ([1, 2, 3], [4], None, r"label 1, but no training row has label 0"),
        ([0, 1, 3], [0], _NAMES, r"row 2: label 3, but the files name 3 classes: .* 0 … 2"),
        ([1, 2, 4], [1], _NAMES, r"row 2: label 4, but the files name 3 classes"),
        ([0, 1], [-1], None, r"row 0: label -1, as rows without"),
        (["ape", "bee"], ["cat"], None, r"row 0: label cat, but .* a training row has: known: ape"),
        (["ape", "dog"], ["ape"], _NAMES, r"row 1: label dog, but .* class names have"),
    ],
)
def test_labels_that_are_no_classes(
    write: Write,
    train: list[int | str],
    test: list[int | str],
    names: list[str] | None,
    problem: str,
) -> None:
    write("train.parquet", train, names)
    with pytest.raises(ValueError, match=problem):
        parquet(path=str(write("test.parquet", test, names)))
