"""Images in one folder per class: PNG, JPEG and the like, decoded and resized once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.data import Dataset, Location
from pipeline.data._cache import cached
from pipeline.data._decode import Encoded, decode
from pipeline.data._digest import digest
from pipeline.data._image_tree import image_tree
from pipeline.data._images import Images, classification
from pipeline.data._sources import Source

_Samples = Mapping[str, Sequence[tuple[Source, int]]]
_log = logging.getLogger(__name__)


def image_folder(*, path: Location, size: int, validation: float = 0.1) -> Dataset:
    """Images in folders PATH/train/CLASS/ and PATH/test/CLASS/, resized to size x size pixels.

    Classes are the folders of ``train`` in sorted order; images are at any depth below them. Where
    PATH/val exists it is the validation split and ``validation`` is not used; where there is no
    PATH/test with labels, PATH/val is the test split. Tiny ImageNet's val_annotations.txt is read.
    Grey if all images are grey, else RGB. The aspect ratio is not kept.

    Args:
        path: a local folder.
        size: height and width, in pixels.
        validation: share of ``train`` that becomes the validation split.

    Raises:
        ValueError: naming the folder or file at fault.
    """
    if size < 1:
        raise ValueError(f"image_folder needs size ≥ 1, not {size}")
    tree = image_tree(path)
    for note in tree.notes:
        _log.warning("%s", note)
    key = f"image_folder-2-{size}-{digest(tree.sources)}"
    splits = cached(key, lambda: _decoded(tree.splits, size))
    return classification(
        splits["train"],
        splits["test"],
        classes=len(tree.classes),
        validation=splits.get("val", validation),
    )


def _decoded(samples: _Samples, size: int) -> dict[str, Images]:
    every = [sample for split in samples.values() for sample in split]
    pixels = decode([Encoded(source.path, Path(source.path)) for source, _ in every], size=size)
    labels = np.array([label for _, label in every], dtype=np.int64)
    ends = np.cumsum([len(split) for split in samples.values()])[:-1]
    parts = zip(np.split(pixels, ends), np.split(labels, ends), strict=True)
    return {name: Images(*part) for name, part in zip(samples, parts, strict=True)}
