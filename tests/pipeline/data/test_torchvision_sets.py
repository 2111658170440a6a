from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from pipeline.data import Dataset
from pipeline.data.torchvision_sets import cifar10, cifar100, fashion_mnist, svhn

_CLASSES = 10
_roots: list[str] = []
_busy = threading.Lock()


def _content(train: bool, *shape: int) -> tuple[np.ndarray[Any, Any], list[int]]:
    count = 40 if train else 20
    rng = np.random.default_rng(int(train))
    pixels = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return pixels, [i % _CLASSES for i in range(count)]


class _Cifar:
    """As torchvision's CIFAR10 and CIFAR100: an (N, H, W, C) array and a list."""

    def __init__(self, root: str, train: bool, download: bool) -> None:
        assert download
        assert _busy.acquire(blocking=False), "two downloads at once"
        _roots.append(root)
        self.data, self.targets = _content(train, 32, 32, 3)
        _busy.release()


class _Svhn:
    """As torchvision's SVHN: an (N, C, H, W) array and an array."""

    def __init__(self, root: str, split: str, download: bool) -> None:
        assert download
        self.data, labels = _content(split == "train", 3, 32, 32)
        self.labels = np.array(labels)


class _FashionMnist:
    """As torchvision's FashionMNIST: tensors, (N, H, W)."""

    def __init__(self, root: str, train: bool, download: bool) -> None:
        assert download
        pixels, labels = _content(train, 28, 28)
        self.data, self.targets = torch.from_numpy(pixels), torch.tensor(labels)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test downloads anything: torchvision's classes are replaced by small ones."""
    _roots.clear()
    for name, fake in [
        ("CIFAR10", _Cifar),
        ("CIFAR100", _Cifar),
        ("SVHN", _Svhn),
        ("FashionMNIST", _FashionMnist),
    ]:
        monkeypatch.setattr(datasets, name, fake)


_Part = Callable[..., Dataset]


@pytest.mark.parametrize(
    ("part", "classes", "shape"),
    [
        (cifar10, 10, (3, 32, 32)),
        (cifar100, 100, (3, 32, 32)),
        (svhn, 10, (3, 32, 32)),
        (fashion_mnist, 10, (1, 28, 28)),
    ],
)
def test_conversion(part: _Part, classes: int, shape: tuple[int, ...]) -> None:
    dataset = part(validation=0.25)
    assert (dataset.task.input_shape, dataset.task.outputs) == (shape, classes)
    assert dataset.train.targets.bincount().tolist() == [3] * _CLASSES
    assert dataset.validation.targets.bincount().tolist() == [1] * _CLASSES
    stored = shape if part is svhn else (*shape[1:], shape[0])
    pixels, labels = _content(False, *stored)
    right = pixels if part is svhn else pixels.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(dataset.test.inputs.numpy(), right, strict=True)
    assert dataset.test.targets.tolist() == labels


def test_downloads_lie_in_the_data_folder(tmp_path: Path) -> None:
    cifar10()
    assert _roots == [str(tmp_path / "downloads")] * 2


def test_downloaded_once_by_many_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        digests = {dataset.digest for dataset in pool.map(lambda _: cifar10(), range(4))}
    assert len(digests) == 1
    assert len(_roots) == 2  # train and test, by the first


@pytest.mark.parametrize("error", [OSError("<urlopen error>"), RuntimeError("corrupted")])
def test_failed_download_says_what_to_do(
    error: Exception, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def fail(**options: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "SVHN", fail)
    with pytest.raises(ValueError, match=r"SVHN could not be downloaded into .*NORMSCOPE_DATA"):
        svhn()
    assert not list(cache.glob("*.npz"))
