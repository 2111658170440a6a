"""Trees of images as they are found: ImageNet, Tiny ImageNet, rubbish, and what is refused."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data._digest import content
from pipeline.data._image_tree import image_tree
from pipeline.data.image_folder import image_folder

Png = Callable[[NDArray[np.uint8]], bytes]
_CLASSES = ("n01", "n02")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "set"


@pytest.fixture
def put(root: Path, png: Png) -> Callable[..., None]:
    """Write images of one grey value at paths below the root."""

    def write(paths: Sequence[str], grey: int = 0) -> None:
        for path in paths:
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(np.full((4, 4), grey, dtype=np.uint8)))

    return write


def of(name: str, split: str, count: int, below: str = "") -> list[str]:
    return [f"{split}/{name}/{below}{name}_{i}.JPEG" for i in range(count)]


@pytest.fixture
def imagenet(put: Callable[..., None], root: Path) -> Path:
    """Images two levels below a class, and a val folder but no test folder."""
    for label, name in enumerate(_CLASSES):
        put(of(name, "train", 4, "images/"), 100 * label + 20)
        put(of(name, "val", 2), 100 * label + 20)
    (root / "train" / "n01" / "n01_boxes.txt").write_text("n01_0.JPEG\t0\t0\t3\t3\n")
    return root


@pytest.fixture
def tiny_imagenet(imagenet: Path, put: Callable[..., None]) -> Path:
    """Tiny ImageNet: val's classes are in a file, and test has no labels."""
    lines = []
    for label, name in enumerate(_CLASSES):
        for i in range(2):
            (imagenet / "val" / name / f"{name}_{i}.JPEG").unlink()
            lines.append(f"val_{label}{i}.JPEG\t{name}\t0\t32\t44\t62")
            put([f"val/images/val_{label}{i}.JPEG"], 100 * label + 20)
        (imagenet / "val" / name).rmdir()
    (imagenet / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    put(["test/images/test_0.JPEG", "test/images/test_1.JPEG"])
    return imagenet


@pytest.mark.parametrize("tree", ["imagenet", "tiny_imagenet"])
def test_val_is_the_test_split_where_there_is_no_labelled_test(
    tree: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    folder = request.getfixturevalue(tree)
    with caplog.at_level(logging.WARNING):
        dataset = image_folder(path=str(folder), size=4, validation=0.25)
    assert dataset.task.outputs == 2
    assert dataset.train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.validation.targets.bincount().tolist() == [1, 1]
    assert dataset.test.targets.tolist() == [0, 0, 1, 1]
    assert (dataset.test.inputs[:, 0, 0, 0] == 100 * dataset.test.targets + 20).all()
    why = "does not exist" if tree == "imagenet" else "has no labels"
    assert f"test {why}: {folder}/val is the test split" in caplog.text


def test_val_is_the_validation_split_beside_a_test_split(
    imagenet: Path, put: Callable[..., None]
) -> None:
    put(of("n02", "test", 3))
    assert {split: len(images) for split, images in image_tree(str(imagenet)).splits.items()} == {
        "train": 8,
        "test": 3,
        "val": 4,
    }


def test_rubbish_is_passed_over_and_not_in_the_digest(
    imagenet: Path, put: Callable[..., None]
) -> None:
    before = image_tree(str(imagenet))
    digest = content("image_folder", str(imagenet)).digest
    put(["train/n01/images/._n01_0.JPEG", "train/__MACOSX/n01/x.png", "val/__MACOSX/x.png"])
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "n01/Thumbs.db", "n01/notes.txt"):
        (imagenet / "train" / name).write_bytes(b"\x00")
    (imagenet / "README.md").write_text("about the data")
    (imagenet / "train" / ".ipynb_checkpoints").mkdir()
    assert image_tree(str(imagenet)) == before
    assert content("image_folder", str(imagenet)).digest == digest


def test_links_to_images_and_classes_are_followed(
    imagenet: Path, put: Callable[..., None], tmp_path: Path
) -> None:
    digest = content("image_folder", str(imagenet)).digest
    (imagenet / "train" / "n02").rename(tmp_path / "elsewhere")
    (imagenet / "train" / "n02").symlink_to(tmp_path / "elsewhere")
    image = imagenet / "val" / "n01" / "n01_0.JPEG"
    image.rename(tmp_path / "image")
    image.symlink_to(tmp_path / "image")
    assert content("image_folder", str(imagenet)).digest == digest


def _folder_named_as_an_image(root: Path) -> str:
    (root / "train" / "n01" / "x.png").mkdir()
    return "train/n01/x.png: a folder with a file's name"


def _broken_link(root: Path) -> str:
    (root / "val" / "n02" / "gone.png").symlink_to("nowhere.png")
    return "val/n02/gone.png: a broken link to nowhere.png"


def _broken_class(root: Path) -> str:
    (root / "train" / "n03").symlink_to("nowhere")
    return "train/n03: a broken link to nowhere"


def _broken_folder(root: Path) -> str:
    (root / "train" / "n01" / "more").symlink_to("nowhere")
    return "train/n01/more: a broken link to nowhere"


def _circle(root: Path) -> str:
    (root / "train" / "n01" / "again").symlink_to("..")
    return "a link to a folder above itself"


def _pipe(root: Path) -> str:
    os.mkfifo(root / "train" / "n01" / "pipe.png")
    return "train/n01/pipe.png: a special file"


def _two_validations(root: Path) -> str:
    (root / "validation").mkdir()
    return "val and validation are both validation splits"


def _unlabelled(root: Path) -> str:
    for name in _CLASSES:
        for file in (root / "val" / name).iterdir():
            file.rename(root / "val" / file.name)
        (root / "val" / name).rmdir()
    return "val: its images are in no class folder"


@pytest.mark.parametrize(
    "spoil",
    [
        _folder_named_as_an_image,
        _broken_link,
        _broken_class,
        _broken_folder,
        _circle,
        _pipe,
        _two_validations,
        _unlabelled,
    ],
)
def test_what_is_wrong_is_said_by_name(imagenet: Path, spoil: Callable[[Path], str]) -> None:
    problem = spoil(imagenet)
    with pytest.raises(ValueError, match=r"/set\b") as error:
        image_tree(str(imagenet))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("absent.JPEG\tn01\t0", "names absent.JPEG, but .* has no such image"),
        ("val_00.JPEG\tn09\t0", "val_00.JPEG: val_annotations.txt says n09, no training class"),
    ],
)
def test_annotations_fit_the_images(tiny_imagenet: Path, line: str, problem: str) -> None:
    with (tiny_imagenet / "val" / "val_annotations.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ValueError, match=problem):
        image_tree(str(tiny_imagenet))


def test_an_image_without_annotation_is_named(
    tiny_imagenet: Path, put: Callable[..., None]
) -> None:
    put(["val/images/more.JPEG"])
    with pytest.raises(ValueError, match=r"more.JPEG: val_annotations.txt names no class of it"):
        image_tree(str(tiny_imagenet))
