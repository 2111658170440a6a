from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data.image_folder import image_folder

Png = Callable[[NDArray[np.uint8]], bytes]


@pytest.fixture
def folder(tmp_path: Path, noise: NDArray[np.uint8], png: Png) -> Path:
    """Classes bird (10 train, 2 test images) and cat (20, 4), with things to pass over."""
    root = tmp_path / "images"
    places = [("train", "cat", 20), ("train", "bird", 10), ("test", "cat", 4), ("test", "bird", 2)]
    images = iter(noise)
    for split, name, count in places:
        (root / split / name).mkdir(parents=True)
        for i in range(count):
            suffix = "PNG" if i % 2 else "png"
            (root / split / name / f"{i:02}.{suffix}").write_bytes(png(next(images)))
    (root / "train" / "cat" / "notes.txt").write_text("not an image")
    (root / "train" / ".hidden").mkdir()
    (root / "train" / "README").write_text("not a class")
    return root


def test_counts_classes_and_shape(folder: Path) -> None:
    dataset = image_folder(path=str(folder), size=4, validation=0.2)
    assert (dataset.task.input_shape, dataset.task.outputs) == ((3, 4, 4), 2)
    assert dataset.train.targets.bincount().tolist() == [8, 16]
    assert dataset.validation.targets.bincount().tolist() == [2, 4]
    assert dataset.test.targets.tolist() == [0, 0, 1, 1, 1, 1]


def test_pixels_come_from_their_class(folder: Path, png: Png) -> None:
    for split in ("train", "test"):
        for number, name in enumerate(("bird", "cat")):
            for file in (folder / split / name).glob("*.[pP]*"):
                file.write_bytes(png(np.full((4, 4), 50 * number + 20, dtype=np.uint8)))
    dataset = image_folder(path=str(folder), size=4)
    assert dataset.train.inputs.shape[1] == 1
    for split in (dataset.train, dataset.validation, dataset.test):
        assert (split.inputs[:, 0, 0, 0] == 50 * split.targets + 20).all()


def test_val_folder_is_the_validation_split(folder: Path, noise: NDArray[np.uint8]) -> None:
    (folder / "test").rename(folder / "val")
    (folder / "test" / "cat").mkdir(parents=True)
    (folder / "train" / "cat" / "00.png").rename(folder / "test" / "cat" / "00.png")
    dataset = image_folder(path=str(folder), size=4)
    assert dataset.train.targets.bincount().tolist() == [10, 19]
    assert dataset.validation.targets.bincount().tolist() == [2, 4]
    assert dataset.test.targets.tolist() == [1]


def test_cache_follows_the_bytes_and_the_size(folder: Path, cache: Path, png: Png) -> None:
    first = image_folder(path=str(folder), size=4)
    moved = folder.rename(folder.with_name("elsewhere"))
    assert image_folder(path=str(moved), size=4).digest == first.digest
    assert len(list(cache.glob("*.npz"))) == 1
    assert image_folder(path=str(moved), size=3).digest != first.digest
    (moved / "test" / "cat" / "00.png").write_bytes(png(np.zeros((4, 6, 3), dtype=np.uint8)))
    assert image_folder(path=str(moved), size=4).digest != first.digest
    assert len(list(cache.glob("*.npz"))) == 3


def _remove_test(folder: Path) -> None:
    (folder / "test").rename(folder / "tset")


def _add_test_class(folder: Path) -> None:
    (folder / "test" / "dog").mkdir()


def _empty_class(folder: Path) -> None:
    (folder / "train" / "dog").mkdir()


def _damage(folder: Path) -> None:
    (folder / "train" / "cat" / "03.PNG").write_bytes(b"\x89PNG, so to say")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_remove_test, "test is not a folder: image_folder reads PATH/train/CLASS"),
        (_add_test_class, "dog: the training set has no such class"),
        (_empty_class, "dog has no images"),
        (_damage, r"03.PNG: not an image that pillow can read"),
    ],
)
def test_bad_folder_is_named(folder: Path, spoil: Callable[[Path], None], problem: str) -> None:
    spoil(folder)
    with pytest.raises(ValueError, match=problem):
        image_folder(path=str(folder), size=4)


def test_size_is_checked(folder: Path) -> None:
    with pytest.raises(ValueError, match="size ≥ 1, not 0"):
        image_folder(path=str(folder), size=0)
