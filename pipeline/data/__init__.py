"""Datasets: one file a family, one public function a dataset (its name is the YAML name).

A dataset is small enough to live on the trial's device: images as uint8, the rest as float32.
Its train / validation / test split is a property of the data, never of the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:  # a sweep file is read without torch, and `_digest` of this package is needed
    import torch
    from torch import Tensor

Location = str
"""Annotation of an option that says where data is. A digest of the files there enters the cell's
id, so that moving the data does not make new cells and changing them does. Where the files cannot
be read before running, the last path component enters. `_digest.SOURCES` lists the files that a
dataset reads; of a dataset that is not named there, all files below the location count."""


class Batch(NamedTuple):
    """Inputs ready for a network (float32, standardized) and their targets."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True, kw_only=True)
class Task:
    """What an architecture and a loss must know about the data."""

    loss: Literal["cross_entropy", "squared_error"]
    """cross_entropy: mean over samples. squared_error: *sum* over samples and outputs, ‖f(x) − y‖²,
    the convention of the paper's deep linear network."""
    input_shape: tuple[int, ...]
    """(C, H, W) of an image or (D,) of a vector."""
    outputs: int
    """Number of classes, or dimension of the target."""


class Split(NamedTuple):
    """One part of a dataset: uint8 images (N, C, H, W) or float32 vectors (N, D), and targets."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Three splits on one device, with the training split's per-channel moments in [0, 1] units."""

    task: Task
    train: Split
    validation: Split
    test: Split
    mean: Tensor
    std: Tensor
    digest: str
    """sha256 over the bytes of all three splits: the data's identity in a result's provenance."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Digests of the files that were read, by key (``data.path``); the trial fills it in."""

    def to(self, device: torch.device) -> Dataset:
        """Return the dataset on ``device``; this is the only copy a trial makes."""
        moved = {
            name: Split(*(tensor.to(device) for tensor in getattr(self, name)))
            for name in ("train", "validation", "test")
        }
        return replace(self, mean=self.mean.to(device), std=self.std.to(device), **moved)

    def batch(self, split: Split, index: Tensor | slice) -> Batch:
        """Select samples; images become float32, standardized with the training moments."""
        return Batch(self.standardize(split.inputs[index]), split.targets[index])

    def standardize(self, inputs: Tensor) -> Tensor:
        """(x/255 − mean) / std per channel for uint8 images; float vectors pass unchanged."""
        if inputs.dtype.is_floating_point:
            return inputs
        shape = (1, -1, 1, 1)
        return (inputs.float() / 255 - self.mean.view(shape)) / self.std.view(shape)
