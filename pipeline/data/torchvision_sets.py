"""Standard image sets by torchvision: downloaded once a machine, decoded once.

Downloads lie in ``NORMSCOPE_DATA`` (``~/.cache/normscope/data``), which is not read once a set is
in the cache of decoded images.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data import Dataset
from pipeline.data._cache import cached
from pipeline.data._folders import data_folder
from pipeline.data._images import Images, classification


def cifar10(*, validation: float = 0.1) -> Dataset:
    """CIFAR-10: 50,000 + 10,000 colour images of 32x32 pixels, 10 classes (Krizhevsky, 2009).

    Raises:
        ValueError: if the download fails or ``validation`` is outside [0, 1).
    """
    return _dataset("CIFAR10", validation, classes=10)


def cifar100(*, validation: float = 0.1) -> Dataset:
    """CIFAR-100: 50,000 + 10,000 colour images of 32x32 pixels, 100 classes (Krizhevsky, 2009).

    Raises:
        ValueError: if the download fails or ``validation`` is outside [0, 1).
    """
    return _dataset("CIFAR100", validation, classes=100)


def svhn(*, validation: float = 0.1) -> Dataset:
    """Street View House Numbers: 73,257 + 26,032 colour 32x32 images, 10 classes (Netzer, 2011).

    The 531,131 "extra" images are left out.

    Raises:
        ValueError: if the download fails or ``validation`` is outside [0, 1).
    """
    return _dataset("SVHN", validation, classes=10)


def fashion_mnist(*, validation: float = 0.1) -> Dataset:
    """Fashion-MNIST: 60,000 + 10,000 grey images of 28x28 pixels, 10 classes (Xiao et al., 2017).

    Raises:
        ValueError: if the download fails or ``validation`` is outside [0, 1).
    """
    return _dataset("FashionMNIST", validation, classes=10)


def _dataset(name: str, validation: float, *, classes: int) -> Dataset:
    folder = data_folder()
    splits = cached(
        f"torchvision-{name}-1", lambda: {s: _download(name, folder, s) for s in ("train", "test")}
    )
    return classification(splits["train"], splits["test"], classes=classes, validation=validation)


def _download(name: str, folder: Path, split: str) -> Images:
    """Load one split, downloading it where its files are not yet there; the cache holds a lock."""
    from torchvision import datasets  # here: it takes a second, and a cached set needs none of it

    which = {"split": split} if name == "SVHN" else {"train": split == "train"}
    try:
        loaded = getattr(datasets, name)(root=str(folder), download=True, **which)
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise ValueError(
            f"{name} could not be downloaded into {folder} ({error}): connect this machine, or put "
            "torchvision's files there and set NORMSCOPE_DATA"
        ) from error
    labels = loaded.labels if name == "SVHN" else loaded.targets
    return Images(_channels_first(np.asarray(loaded.data)), np.asarray(labels, dtype=np.int64))


def _channels_first(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, H, W), (N, H, W, 3) or (N, 3, H, W) to contiguous (N, C, H, W)."""
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.shape[1] != 3:
        pixels = pixels.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pixels)
