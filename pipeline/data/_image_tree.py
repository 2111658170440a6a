"""Image files in one folder per class: which there are, in which split, of which class.

Understood are PATH/train/CLASS/*.png, ImageNet trees (images at any depth below a class), and Tiny
ImageNet, whose ``val/val_annotations.txt`` names the class of every image. Torch is not needed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.data._sources import (
    Source,
    below,
    data_error,
    is_rubbish,
    local_source,
    refuse_broken,
    walk,
)

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif")
_VALIDATION = ("val", "valid", "validation")
_UNLABELLED = {"images"}
"""Tiny ImageNet's folder of images that is no class."""
_READS = "image_folder reads PATH/train/CLASS/*.png"


class ImageTree(NamedTuple):
    """The images of a dataset by split: train, test and, if there is one, val."""

    classes: list[str]
    """Sorted names; a label is a position here."""
    splits: dict[str, list[tuple[Source, int]]]
    """Every image with its label, in the order of the samples."""
    notes: list[str]
    """What a reader should know of the choice of splits."""

    @property
    def sources(self) -> list[Source]:
        """All files that are read."""
        return [source for split in self.splits.values() for source, _ in split]


def image_tree(path: str) -> ImageTree:
    """List the images of a local folder.

    Where there is no test split with labels, the validation split is the test split.

    Raises:
        ValueError: naming the folder or file at fault.
    """
    root = Path(path).expanduser()
    classes = _classes(root / "train")
    validation, notes = _validation_folder(root), list[str]()
    train = _by_class(root / "train", "train", classes)
    test = _labelled(root / "test", "test", classes) if (root / "test").is_dir() else None
    if test is None:
        test, notes = _stand_in(root, validation, classes)
        validation = None
    held = None if validation is None else _labelled(validation, "val", classes)
    if validation is not None and held is None:
        notes.append(f"{_unlabelled(validation)}; a share of train is the validation split")
    splits = {"train": train, "test": test} | ({} if held is None else {"val": held})
    return ImageTree(classes, splits, notes)


def image_sources(path: str) -> tuple[list[Source], list[str]]:
    """All image files that are read, and the notes on them."""
    tree = image_tree(path)
    return tree.sources, tree.notes


def _validation_folder(root: Path) -> Path | None:
    found = [root / name for name in _VALIDATION if (root / name).is_dir()]
    if len(found) > 1:
        names = " and ".join(folder.name for folder in found)
        raise ValueError(f"{root}: {names} are both validation splits; keep one of them")
    return found[0] if found else None


def _stand_in(
    root: Path, validation: Path | None, classes: Sequence[str]
) -> tuple[list[tuple[Source, int]], list[str]]:
    """The validation split as the test split, and the note that it is."""
    test = root / "test"
    if validation is None:
        absent = f"{test} is not a folder: {_READS}"
        raise ValueError(_unlabelled(test) if test.is_dir() else absent)
    found = _labelled(validation, "test", classes)
    if found is None:
        raise ValueError(f"{_unlabelled(validation)}: {_READS}")
    why = "has no labels" if test.is_dir() else "does not exist"
    note = f"{test} {why}: {validation} is the test split, a share of train the validation split"
    return found, [note]


def _unlabelled(folder: Path) -> str:
    return f"{folder}: its images are in no class folder, so they have no labels"


def _classes(folder: Path) -> list[str]:
    """Names of the class folders; hidden ones are none."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: {_READS}")
    names = sorted(name for name in _entries(folder) if _is_folder(folder / name))
    if not names:
        raise ValueError(f"{folder} has no class folders: {_READS}")
    return names


def _entries(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not is_rubbish(name)]
    except OSError as error:
        raise data_error(str(folder), error) from error


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder; a broken link where a class is expected is an error."""
    if not path.suffix:
        refuse_broken(str(path))
    return path.is_dir()


def _labelled(folder: Path, split: str, classes: Sequence[str]) -> list[tuple[Source, int]] | None:
    """The images of a held-out split; None where nothing tells their classes."""
    annotations = folder / f"{folder.name}_annotations.txt"
    if annotations.is_file():
        return _annotated(folder, split, classes, annotations)
    names = _entries(folder)
    folders = {name for name in names if _is_folder(folder / name)}
    loose = any(_is_image(name) for name in names)
    if (loose and not folders) or (folders == _UNLABELLED and not _UNLABELLED & set(classes)):
        return None
    return _by_class(folder, split, classes)


def _by_class(folder: Path, split: str, classes: Sequence[str]) -> list[tuple[Source, int]]:
    """Images by class and name; other files are passed over."""
    strange = sorted(set(_classes(folder)) - set(classes))
    if strange:
        raise ValueError(f"{folder / strange[0]}: the training set has no such class")
    found: list[tuple[Source, int]] = []
    without = []
    for label, name in enumerate(classes):
        own = folder / name
        images = _images(own) if own.is_dir() else []
        found += [(_source(f"{split}/{name}", own, image), label) for image in images]
        without += [] if images else [name]
    if without and (split == "train" or not found):
        raise ValueError(f"{folder / without[0]} has no images ({', '.join(SUFFIXES)})")
    return found


def _annotated(
    folder: Path, split: str, classes: Sequence[str], annotations: Path
) -> list[tuple[Source, int]]:
    """Images whose classes a file names: lines of image, tab, class, and what is not read."""
    lines = annotations.read_text(encoding="utf-8").splitlines()
    named = dict(line.split("\t")[:2] for line in lines if "\t" in line)
    labels = {name: label for label, name in enumerate(classes)}
    found = []
    for image in _images(folder):
        name = named.get(os.path.basename(image))
        if name not in labels:
            problem = "names no class of it" if name is None else f"says {name}, no training class"
            raise ValueError(f"{image}: {annotations.name} {problem}")
        found.append((_source(f"{split}/{name}", folder, image), labels[name]))
    absent = sorted(set(named) - {os.path.basename(source.path) for source, _ in found})
    if absent:
        raise ValueError(f"{annotations}: names {absent[0]}, but {folder} has no such image")
    return found


def _source(prefix: str, folder: Path, image: str) -> Source:
    return local_source(f"{prefix}/{below(str(folder), image)}", image)


def _images(folder: Path) -> list[str]:
    return [path for path in walk(str(folder), _is_image) if _is_image(path)]


def _is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)
