"""Images in Parquet files, as Hugging Face image data sets store them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.data import Dataset, Location
from pipeline.data._cache import cached
from pipeline.data._decode import decode
from pipeline.data._images import Images, classification
from pipeline.data._parquet_files import Folder, Row, open_folder, read_rows


def parquet(
    *,
    path: Location,
    image: str | None = None,
    label: str | None = None,
    limit: int | None = None,
    validation: float = 0.1,
) -> Dataset:
    """Images in Parquet files of the Hugging Face layout: train-00000-of-0000N.parquet and test.

    A file has a column of structs {bytes, path}, each an encoded image, and a column of integer
    labels 0 … K − 1, all of which occur in the training files. All images must have one size; C is
    1 if all are grey, else 3 (palette, CMYK and alpha become RGB). Decoded once, then read from a
    cache that is keyed by the files' bytes.

    Args:
        path: a local folder, or a URI that fsspec knows (s3://…).
        image: the image column; without it the only one, or ``img`` or ``image``.
        label: the label column; without it the only one, or ``label``, ``labels``, ``fine_label``.
        limit: keep the first so many training rows (before the validation split is taken).
        validation: share of the training rows that becomes the validation split.

    Raises:
        ValueError: naming the file, column and row (counted from 0) at fault.
    """
    folder = open_folder(path)
    shards = {split: folder.shards(split) for split in ("train", "test")}
    files = [file for split in shards.values() for file in split]
    key = f"parquet-1-{folder.digest(files, repr((image, label)))}"
    splits = cached(key, lambda: _decoded(folder, shards, image, label))
    classes = int(splits["train"].labels.max()) + 1
    train = _first(splits["train"], limit)
    return classification(train, splits["test"], classes=classes, validation=validation)


def _first(train: Images, limit: int | None) -> Images:
    count = len(train.labels)
    if limit is not None and not 1 <= limit <= count:
        raise ValueError(f"limit must be between 1 and the {count} training rows, not {limit}")
    return Images(train.pixels[:limit], train.labels[:limit])


def _decoded(
    folder: Folder, shards: Mapping[str, Sequence[str]], image: str | None, label: str | None
) -> dict[str, Images]:
    train, test = (
        [row for file in files for row in read_rows(folder, file, image, label)]
        for files in shards.values()
    )
    for split, rows in (("train", train), ("test", test)):
        if not rows:
            raise ValueError(f"{shards[split][0]}: the {split} files have no rows")
    _check_classes(train, test)
    # Together, so that the two splits have one size and number of channels.
    pixels = decode([row.image for row in (*train, *test)])
    return {
        "train": Images(pixels[: len(train)], _labels(train)),
        "test": Images(pixels[len(train) :], _labels(test)),
    }


def _labels(rows: Sequence[Row]) -> NDArray[np.int64]:
    return np.array([row.label for row in rows], dtype=np.int64)


def _check_classes(train: Sequence[Row], test: Sequence[Row]) -> None:
    """Hold the training labels to 0 … K − 1 without a gap, and the test labels to the same."""
    seen = {row.label for row in train}
    gap = next(number for number in range(len(seen) + 1) if number not in seen)
    beyond = next((row for row in (*train, *test) if row.label >= gap), None)
    if beyond is not None:
        raise ValueError(
            f"{beyond.name}: label {beyond.label}, but no training row has label {gap}: "
            "labels must be 0 … K − 1, each in the training files"
        )
