"""Images in Parquet files, as Hugging Face image data sets store them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.data import Dataset, Location
from pipeline.data._cache import cached
from pipeline.data._decode import decode
from pipeline.data._digest import digest
from pipeline.data._images import Images, classification
from pipeline.data._labels import classes
from pipeline.data._parquet_files import Rows, read_rows
from pipeline.data._shards import Shards, find_shards

_log = logging.getLogger(__name__)


def parquet(
    *,
    path: Location,
    image: str | None = None,
    label: str | None = None,
    limit: int | None = None,
    validation: float = 0.1,
) -> Dataset:
    """Images in Parquet files of the Hugging Face layouts: train-00000-of-0000N.parquet and test.

    The files are in PATH, PATH/data or PATH/CONFIG; a hash before the suffix, train/0000.parquet
    and train.parquet are right too. Where there are validation files they are the validation split,
    and ``validation`` is not used; where there are no test files, or only ones without labels (-1),
    they are the test split.

    A file has a column of structs {bytes, path}, each an encoded image, and a column of labels:
    words, or integers 0 … K − 1 or 1 … K. Without class names in the schema, all K occur in the
    training files. All images must have one size; C is 1 if all are grey, else 3 (palette, CMYK and
    alpha become RGB). Decoded once, then read from a cache that is keyed by the files' bytes.

    Args:
        path: a local folder, or a URI that fsspec knows (s3://…).
        image: the image column; without it the only one, or ``img`` or ``image``.
        label: the label column; without it the only one, or ``label``, ``labels``, ``fine_label``.
        limit: keep the first so many training rows (before the validation split is taken).
        validation: share of the training rows that becomes the validation split.

    Raises:
        ValueError: naming the file, column and row (counted from 0) at fault.
    """
    shards = find_shards(path)
    for note in shards.notes:
        _log.warning("%s", note)
    columns = hashlib.sha256(repr((image, label)).encode()).hexdigest()[:16]
    key = f"parquet-2-{columns}-{digest(shards.sources)}"
    splits = cached(key, lambda: _decoded(shards, image, label))
    if set(splits) != set(shards.splits):
        _log.warning("%s: the test files have no labels: validation is the test split", path)
    count = 1 + max(int(images.labels.max()) for images in splits.values())
    train = _first(splits["train"], limit)
    return classification(
        train,
        splits["test"],
        classes=count,
        validation=splits.get("validation", validation),
    )


def _first(train: Images, limit: int | None) -> Images:
    count = len(train.labels)
    if limit is not None and not 1 <= limit <= count:
        raise ValueError(f"limit must be between 1 and the {count} training rows, not {limit}")
    return Images(train.pixels[:limit], train.labels[:limit])


def _decoded(shards: Shards, image: str | None, label: str | None) -> dict[str, Images]:
    splits = {
        split: _joined([read_rows(shards.system, file.path, image, label) for file in files])
        for split, files in shards.splits.items()
    }
    for split, rows in splits.items():
        if not rows.images:
            raise ValueError(f"{shards.splits[split][0].path}: the {split} files have no rows")
    if "validation" in splits and all(each.value in (None, -1) for each in splits["test"].labels):
        splits["test"] = splits.pop("validation")
    labels = _numbered(splits)
    # Together, so that all splits have one size and number of channels.
    pixels = decode([image for rows in splits.values() for image in rows.images])
    ends = np.cumsum([len(rows.images) for rows in splits.values()])[:-1]
    parts = zip(splits, np.split(pixels, ends), strict=True)
    return {split: Images(part, labels[split]) for split, part in parts}


def _joined(files: Iterable[Rows]) -> Rows:
    """All rows of a split; the first file tells the names of its classes."""
    every = list(files)
    return Rows(
        [image for rows in every for image in rows.images],
        [label for rows in every for label in rows.labels],
        every[0].names,
    )


def _numbered(splits: Mapping[str, Rows]) -> dict[str, NDArray[np.int64]]:
    """Class numbers of every split's rows."""
    train = splits["train"]
    held_out = [label for split in splits if split != "train" for label in splits[split].labels]
    found = classes(train.labels, held_out, train.names)
    return {split: found.number(rows.labels) for split, rows in splits.items()}
