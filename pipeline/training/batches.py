"""The batches of a trial, on its device, each a function of the seed and the step alone.

A resumed trial, or a probe that asks twice, sees the very same batch; and since no key depends on
the network, trials of one seed see the same batches whatever their normalizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from pipeline.data import Batch, Dataset, Split
from pipeline.data._splits import fixed_order
from pipeline.training.seeds import derive

_AUGMENTATIONS = ("crop", "flip")


class Batches:
    """Shuffled batches of the training split, without replacement within an epoch.

    Epoch e is a permutation drawn from the key (seed, "order", e); its last incomplete batch is
    dropped. A batch as large as the training split is the split itself, in its own order.

    Args:
        dataset: on the device of the trial.
        batch_size: B, or None for the full training split.
        augment: any of ``crop`` and ``flip``, for images; drawn from (seed, "augment", step), crop
            before flip whatever order they are named in.
        seed: the trial's.

    Raises:
        ValueError: if the batch size is below 1 or above the number of training samples, or an
            augmentation is unknown or not for such data.
    """

    def __init__(
        self, dataset: Dataset, *, batch_size: int | None, augment: Sequence[str], seed: int
    ) -> None:
        self._samples = len(dataset.train.targets)
        self._size = self._samples if batch_size is None else batch_size
        if not 1 <= self._size <= self._samples:
            raise ValueError(
                f"batch_size must be between 1 and the {self._samples} training samples "
                f"(null for all of them), not {batch_size}"
            )
        _check_augmentations(augment, dataset.task.input_shape)
        self._dataset = dataset
        self._augment = augment
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)
        self._full: Batch | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches in the training split."""
        return self._samples // self._size

    def at(self, step: int) -> Batch:
        """Return the batch of a step: inputs (B, …) float32, targets (B,) or (B, D)."""
        batch = self._whole() if self._size == self._samples else self._part(step)
        return augmented(batch, self._augment, self._generator("augment", step))

    def _whole(self) -> Batch:
        if self._full is None:
            self._full = self._dataset.batch(self._dataset.train, slice(None))
        return self._full

    def _part(self, step: int) -> Batch:
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = self._generator("order", epoch)
            self._order = torch.randperm(
                self._samples, generator=generator, device=generator.device
            )
            self._epoch = epoch
        index = self._order[place * self._size : (place + 1) * self._size]
        return self._dataset.batch(self._dataset.train, index)

    def _generator(self, word: str, number: int) -> Generator:
        device = self._dataset.train.inputs.device
        return Generator(device).manual_seed(derive(self._seed, word, number))


def augmented(batch: Batch, augment: Sequence[str], generator: Generator) -> Batch:
    """The batch with its inputs changed at random as named; ``crop`` comes before ``flip``."""
    inputs = crop(batch.inputs, generator) if "crop" in augment else batch.inputs
    inputs = flip(inputs, generator) if "flip" in augment else inputs
    return Batch(inputs, batch.targets)


def crop(images: Tensor, generator: Generator) -> Tensor:
    """Shift every image (B, C, H, W) by its own random amount, H//8 rows and W//8 columns at most.

    That is a random crop of the image padded by an eighth (4 pixels of 32) with zeros, which are
    the channel's mean, since images are standardized (He et al., 2016, section 4.2).
    """
    count, channels, height, width = images.shape
    up, left = height // 8, width // 8
    padded = pad(images, (left, left, up, up))

    def places(margin: int, size: int) -> Tensor:
        offset = torch.randint(
            2 * margin + 1, (count, 1), generator=generator, device=images.device
        )
        return offset + torch.arange(size, device=images.device)

    rows, columns = places(up, height), places(left, width)
    sample = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[:, None, None]
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image (B, C, H, W) left to right with probability 1/2."""
    chosen = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def probe_batch(dataset: Dataset, size: int) -> Batch:
    """Return the fixed probe batch: ``size`` training samples, the same for every seed and step.

    They are the first of a permutation fixed by the samples' positions, without augmentation.

    Raises:
        ValueError: if there are not so many training samples.
    """
    samples = len(dataset.train.targets)
    if not 1 <= size <= samples:
        raise ValueError(
            f"the probe batch must have between 1 and {samples} samples (the training split's), "
            f"not {size}"
        )
    return _fixed(dataset, slice(size))


def other_batch(dataset: Dataset, size: int) -> Batch | None:
    """The ``size`` samples that follow the probe batch in its permutation; None if they lack."""
    if 2 * size > len(dataset.train.targets):
        return None
    return _fixed(dataset, slice(size, 2 * size))


def _fixed(dataset: Dataset, places: slice) -> Batch:
    index = torch.from_numpy(fixed_order(len(dataset.train.targets), "probe")[places])
    return dataset.batch(dataset.train, index.to(dataset.train.inputs.device))


def drawn_batch(dataset: Dataset, augment: Sequence[str], generator: Generator, size: int) -> Batch:
    """``size`` training samples drawn without replacement, augmented, both by the generator."""
    samples, device = len(dataset.train.targets), dataset.train.inputs.device
    index = torch.randperm(samples, generator=generator, device=device)[:size]
    return augmented(dataset.batch(dataset.train, index), augment, generator)


def evaluation_batches(split: Split, dataset: Dataset, size: int) -> Iterator[Batch]:
    """Yield all samples of a split in order, ``size`` at a time, the last batch short."""
    for start in range(0, len(split.targets), size):
        yield dataset.batch(split, slice(start, start + size))


def _check_augmentations(augment: Sequence[str], input_shape: tuple[int, ...]) -> None:
    for name in augment:
        if name not in _AUGMENTATIONS:
            raise ValueError(f"unknown augmentation {name!r}: use {' or '.join(_AUGMENTATIONS)}")
    if augment and len(input_shape) != 3:
        raise ValueError(f"augmentation ({', '.join(augment)}) is for images, not for vectors")
