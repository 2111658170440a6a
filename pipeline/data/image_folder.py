"""Images in one folder a class: PNG, JPEG and the like, decoded and resized once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.data import Dataset, Location
from pipeline.data._cache import cached
from pipeline.data._decode import Encoded, decode
from pipeline.data._images import Images, classification

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif")


def image_folder(*, path: Location, size: int, validation: float = 0.1) -> Dataset:
    """Images in folders PATH/train/CLASS/ and PATH/test/CLASS/, resized to size x size pixels.

    Classes are the folders of ``train`` in sorted order. Where PATH/val exists it is the validation
    split and ``validation`` is not used. Grey if all images are grey, else RGB. The aspect ratio is
    not kept.

    Args:
        path: a local folder.
        size: height and width, in pixels.
        validation: share of ``train`` that becomes the validation split.

    Raises:
        ValueError: naming the folder or file at fault.
    """
    if size < 1:
        raise ValueError(f"image_folder needs size ≥ 1, not {size}")
    root = Path(path).expanduser()
    names = ["train", "test"] + (["val"] if (root / "val").is_dir() else [])
    classes = _classes(root / "train")
    files = {name: _files(root / name, classes) for name in names}
    key = f"image_folder-1-{_digest(root, files, size)}"
    splits = cached(key, lambda: _decoded(files, classes, size))
    return classification(
        splits["train"],
        splits["test"],
        classes=len(classes),
        validation=splits.get("val", validation),
    )


def _classes(folder: Path) -> list[str]:
    """Names of the class folders; hidden ones are none."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: image_folder reads PATH/train/CLASS/*.png")
    found = (entry for entry in folder.iterdir() if entry.is_dir())
    names = sorted(entry.name for entry in found if not entry.name.startswith("."))
    if not names:
        raise ValueError(f"{folder} has no class folders: image_folder reads PATH/train/CLASS/*")
    return names


def _files(folder: Path, classes: Sequence[str]) -> list[Path]:
    """Image files of a split, by class and name; other files are passed over."""
    strange = sorted(set(_classes(folder)) - set(classes))
    if strange:
        raise ValueError(f"{folder / strange[0]}: the training set has no such class")
    files = [
        file
        for name in classes
        if (folder / name).is_dir()
        for file in sorted((folder / name).iterdir())
        if file.suffix.lower() in _SUFFIXES
    ]
    without = set(classes) - {file.parent.name for file in files}
    if without and (folder.name == "train" or not files):
        raise ValueError(f"{folder / min(without)} has no images ({', '.join(_SUFFIXES)})")
    return files


def _digest(root: Path, files: Mapping[str, Sequence[Path]], size: int) -> str:
    """Hash what the decoded images depend on: the files' places and bytes, and the size."""
    sha = hashlib.sha256(f"{size};".encode())
    for file in (file for split in files.values() for file in split):
        content = file.read_bytes()
        sha.update(f"{file.relative_to(root)} {len(content)};".encode())
        sha.update(content)
    return sha.hexdigest()


def _decoded(
    files: Mapping[str, Sequence[Path]], classes: Sequence[str], size: int
) -> dict[str, Images]:
    every = [file for split in files.values() for file in split]
    pixels = decode([Encoded(str(file), file) for file in every], size=size)
    labels = np.array([classes.index(file.parent.name) for file in every], dtype=np.int64)
    ends = np.cumsum([len(split) for split in files.values()])[:-1]
    parts = zip(np.split(pixels, ends), np.split(labels, ends), strict=True)
    return {name: Images(*part) for name, part in zip(files, parts, strict=True)}
