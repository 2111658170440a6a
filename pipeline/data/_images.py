"""From decoded images to a `Dataset`: validation split, moments, digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data import Dataset, Split, Task
from pipeline.data._splits import stratified


class Images(NamedTuple):
    """Decoded images and their classes."""

    pixels: NDArray[np.uint8]
    """(N, C, H, W)."""
    labels: NDArray[np.int64]
    """(N,), from 0."""

    def select(self, mask: NDArray[np.bool_]) -> Images:
        """Keep the marked samples, in their order."""
        return Images(self.pixels[mask], self.labels[mask])


def classification(
    train: Images, test: Images, *, classes: int, validation: float | Images
) -> Dataset:
    """Join image splits to a data set, with the moments of the training split.

    Args:
        train: the training set, from which a share ``validation`` is taken away.
        test: the test set.
        classes: number of classes.
        validation: a share in [0, 1), stratified by class, or the split itself.

    Raises:
        ValueError: if the share is outside [0, 1).
    """
    if isinstance(validation, Images):
        held_out = validation
    else:
        mask = stratified(train.labels, validation, "validation")
        train, held_out = train.select(~mask), train.select(mask)
    splits = [_tensors(images) for images in (train, held_out, test)]
    mean, std = moments(splits[0].inputs)
    shape = tuple(splits[0].inputs.shape[1:])
    return Dataset(
        task=Task(loss="cross_entropy", input_shape=shape, outputs=classes),
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        mean=mean,
        std=std,
        digest=digest(splits),
    )


def moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population std per channel, (C,) each, of uint8 images in units of [0, 1].

    Computed in float64 from the histogram of each channel, so the order of the images is of no
    account. A constant channel has std 1, so that standardizing leaves it finite.
    """
    channels = images.unbind(1)
    counts = torch.stack([torch.bincount(c.flatten(), minlength=256) for c in channels]).double()
    shares = counts / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = shares @ values
    std = (shares * (values - mean[:, None]) ** 2).sum(1).sqrt()
    std[std == 0] = 1
    return mean.float(), std.float()


def digest(splits: Iterable[Split]) -> str:
    """sha256 over type, shape and bytes of the inputs and targets of every split."""
    sha = hashlib.sha256()
    for split in splits:
        for tensor in split:
            sha.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
            sha.update(tensor.contiguous().numpy().data)
    return sha.hexdigest()


def _tensors(images: Images) -> Split:
    return Split(torch.from_numpy(images.pixels), torch.from_numpy(images.labels))
