"""The batches of a trial, on its device, each a function of the seed and the step alone.

Orders and augmentations are drawn on the host, so every device sees the same batches. A resumed
trial, or a probe that asks twice, sees the very same batch; and since no key depends on the
network, trials of one seed see the same batches whatever their normalizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from pipeline.data import Batch, Dataset, Split
from pipeline.data._splits import fixed_order
from pipeline.data._transfer import send
from pipeline.seeds import derive

_AUGMENTATIONS = ("crop", "flip")


class Batches:
    """Shuffled batches of the training split, without replacement within an epoch.

    Epoch e is a permutation drawn from the key (seed, "order", e); its last incomplete batch is
    dropped. A batch as large as the training split is the split itself, in its own order. All draws
    of an epoch are made at its first step, on the host, and reach the device in one copy.

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
        refuse_unfit(batch_size, self._samples, augment, dataset.task.input_shape)
        self._size = self._samples if batch_size is None else batch_size
        self._dataset = dataset
        self._augment = augment
        self._seed = seed
        self._epoch = -1
        self._plan = torch.empty(0)
        """The epoch's draws on the device; see `_drawn`."""
        self._full: Batch | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches in the training split."""
        return self._samples // self._size

    def at(self, step: int) -> Batch:
        """Return the batch of a step: inputs (B, …) float32, targets (B,) or (B, D)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._is_full and not self._augment:
            return self._whole()
        if epoch != self._epoch:
            self._plan = send(self._drawn(epoch), self._dataset.train.inputs.device)
            self._epoch = epoch
        index, *draws = self._plan[:, place]
        batch = self._whole() if self._is_full else self._dataset.batch(self._dataset.train, index)
        return augmented(batch, self._augment, draws)

    @property
    def _is_full(self) -> bool:
        return self._size == self._samples

    def _whole(self) -> Batch:
        if self._full is None:
            self._full = self._dataset.batch(self._dataset.train, slice(None))
        return self._full

    def _drawn(self, epoch: int) -> Tensor:
        """(1 + k, steps, B) on the host: samples of each batch, k rows of `augmentation_draws`."""
        steps, shape = self.steps_per_epoch, self._dataset.task.input_shape
        order = torch.randperm(self._samples, generator=self._generator("order", epoch))
        draws = [
            augmentation_draws(
                self._augment, shape, self._size, self._generator("augment", epoch * steps + place)
            )
            for place in range(steps)
        ]
        samples = order[: steps * self._size].view(1, steps, self._size)
        return torch.cat([samples, torch.stack(draws, dim=1)])

    def _generator(self, word: str, number: int) -> Generator:
        return Generator().manual_seed(derive(self._seed, word, number))


def augmentation_draws(
    augment: Sequence[str], input_shape: Sequence[int], count: int, generator: Generator
) -> Tensor:
    """Draw on the host what `augmented` needs for ``count`` images: (k, count) int64.

    The rows: rows and columns to shift by of ``crop`` (k = 2), then 0 or 1 of ``flip`` (k = 1),
    whatever order they are named in.
    """
    draws = [torch.empty(0, count, dtype=torch.int64)]
    if "crop" in augment:
        ends = [2 * (size // 8) + 1 for size in input_shape[1:]]
        draws += [torch.randint(end, (1, count), generator=generator) for end in ends]
    if "flip" in augment:
        draws.append((torch.rand(1, count, generator=generator) < 0.5).long())
    return torch.cat(draws)


def augmented(batch: Batch, augment: Sequence[str], draws: Sequence[Tensor]) -> Batch:
    """The batch with its inputs changed as named; ``crop`` comes before ``flip``.

    Args:
        batch: images (B, C, H, W), or anything where nothing is named.
        augment: names.
        draws: the rows of `augmentation_draws`, on the batch's device.
    """
    inputs = crop(batch.inputs, draws[0], draws[1]) if "crop" in augment else batch.inputs
    inputs = flip(inputs, draws[-1]) if "flip" in augment else inputs
    return Batch(inputs, batch.targets)


def crop(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift every image (B, C, H, W) by its own amount, H//8 rows and W//8 columns at most.

    With random amounts this is a random crop of the image padded by an eighth (4 pixels of 32) with
    zeros, which are the channel's mean, since images are standardized (He et al., 2016, section
    4.2).

    Args:
        images: standardized.
        down: (B), the first row of each crop in its padded image, from 0 to 2·(H//8).
        right: (B), the first column, from 0 to 2·(W//8).
    """
    count, channels, height, width = images.shape
    padded = pad(images, (width // 8, width // 8, height // 8, height // 8))
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    sample = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[:, None, None]
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror each image (B, C, H, W) left to right where ``chosen`` (B) is not 0."""
    return torch.where(chosen[:, None, None, None] != 0, images.flip(-1), images)


def probe_batch(dataset: Dataset, size: int) -> Batch:
    """Return the fixed probe batch: ``size`` training samples, the same for every seed and step.

    They are the first of a permutation fixed by the samples' positions, without augmentation.

    Raises:
        ValueError: if there are not so many training samples.
    """
    refuse_probe_batch(size, len(dataset.train.targets))
    return _fixed(dataset, slice(size))


def refuse_probe_batch(size: int, samples: int) -> None:
    """Refuse a probe batch that a training split of ``samples`` inputs cannot give.

    Raises:
        ValueError: as `probe_batch` does.
    """
    if not 1 <= size <= samples:
        raise ValueError(
            f"the probe batch must have between 1 and {samples} samples (the training split's), "
            f"not {size}"
        )


def other_batch(dataset: Dataset, size: int) -> Batch | None:
    """The ``size`` samples that follow the probe batch in its permutation; None if they lack."""
    if 2 * size > len(dataset.train.targets):
        return None
    return _fixed(dataset, slice(size, 2 * size))


def _fixed(dataset: Dataset, places: slice) -> Batch:
    index = torch.from_numpy(fixed_order(len(dataset.train.targets), "probe")[places])
    return dataset.batch(dataset.train, send(index, dataset.train.inputs.device))


def drawn_batch(dataset: Dataset, augment: Sequence[str], generator: Generator, size: int) -> Batch:
    """``size`` training samples drawn without replacement, augmented, both by the generator.

    The generator is on the host; its draws reach the dataset's device in one copy.
    """
    samples, shape = len(dataset.train.targets), dataset.task.input_shape
    order = torch.randperm(samples, generator=generator)[:size]
    drawn = torch.cat([order[None], augmentation_draws(augment, shape, size, generator)])
    index, *draws = send(drawn, dataset.train.inputs.device)
    return augmented(dataset.batch(dataset.train, index), augment, draws)


def evaluation_batches(split: Split, dataset: Dataset, size: int) -> Iterator[Batch]:
    """Yield all samples of a split in order, ``size`` at a time, the last batch short."""
    for start in range(0, len(split.targets), size):
        yield dataset.batch(split, slice(start, start + size))


def refuse_unfit(
    batch_size: int | None, samples: int, augment: Sequence[str], input_shape: tuple[int, ...]
) -> None:
    """Refuse batches that a training split of ``samples`` inputs cannot give.

    Raises:
        ValueError: as `Batches` does.
    """
    if batch_size is not None and not 1 <= batch_size <= samples:
        raise ValueError(
            f"batch_size must be between 1 and the {samples} training samples "
            f"(null for all of them), not {batch_size}"
        )
    _check_augmentations(augment, input_shape)


def _check_augmentations(augment: Sequence[str], input_shape: tuple[int, ...]) -> None:
    for name in augment:
        if name not in _AUGMENTATIONS:
            raise ValueError(f"unknown augmentation {name!r}: use {' or '.join(_AUGMENTATIONS)}")
    if augment and len(input_shape) != 3:
        raise ValueError(f"augmentation ({', '.join(augment)}) is for images, not for vectors")
