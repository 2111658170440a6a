from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.data import Split
from pipeline.data._images import Images, classification, digest, moments


def _images(seed: int, count: int) -> Images:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(count) + seed  # so that every image is unlike the others
    return Images(pixels, np.arange(count, dtype=np.int64) % 5)


def _names(split: Split) -> list[int]:
    return split.inputs[:, 0, 0, 0].tolist()


def test_validation_is_taken_from_training_by_class() -> None:
    dataset = classification(_images(0, 100), _images(100, 20), classes=5, validation=0.2)
    assert sorted(_names(dataset.train) + _names(dataset.validation)) == list(range(100))
    assert dataset.validation.targets.bincount().tolist() == [4] * 5
    assert dataset.train.targets.bincount().tolist() == [16] * 5
    assert _names(dataset.test) == list(range(100, 120))


def test_labels_stay_with_their_images() -> None:
    dataset = classification(_images(0, 100), _images(100, 20), classes=5, validation=0.2)
    for split in (dataset.train, dataset.validation, dataset.test):
        assert [name % 5 for name in _names(split)] == split.targets.tolist()


def test_validation_may_be_given_or_empty() -> None:
    given = classification(_images(0, 9), _images(9, 5), classes=5, validation=_images(20, 5))
    assert _names(given.train) == list(range(9))
    assert _names(given.validation) == list(range(20, 25))
    none = classification(_images(0, 9), _images(9, 5), classes=5, validation=0)
    assert none.validation.inputs.shape == (0, 3, 4, 4)
    assert len(none.train.targets) == 9


def test_task_and_standardization() -> None:
    dataset = classification(_images(0, 100), _images(100, 20), classes=5, validation=0.2)
    assert dataset.task.loss == "cross_entropy"
    assert (dataset.task.input_shape, dataset.task.outputs) == ((3, 4, 4), 5)
    inputs = dataset.batch(dataset.train, slice(None)).inputs
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    std = inputs.std((0, 2, 3), correction=0)
    torch.testing.assert_close(std, torch.ones(3), atol=1e-5, rtol=0)


def test_moments_match_float64(noise: NDArray[np.uint8]) -> None:
    images = torch.from_numpy(noise).permute(0, 3, 1, 2)
    slow = images.double() / 255
    mean, std = moments(images)
    torch.testing.assert_close(mean, slow.mean((0, 2, 3)).float())
    torch.testing.assert_close(std, slow.std((0, 2, 3), correction=0).float())


@pytest.mark.parametrize("value", [0, 1, 113, 255])
def test_constant_channel_has_std_1(value: int) -> None:
    mean, std = moments(torch.full((7, 1, 3, 3), value, dtype=torch.uint8))
    assert std.tolist() == [1.0]
    assert mean.item() == pytest.approx(value / 255)


def test_digest_tells_bytes_shapes_and_types_apart() -> None:
    zeros = torch.zeros(4, 4, dtype=torch.uint8)
    one = zeros.clone()
    one[0, 0] = 1
    splits = [
        Split(zeros, zeros),
        Split(one, zeros),
        Split(zeros, one),
        Split(zeros.view(2, 8), zeros),
        Split(zeros.view(torch.int8), zeros),
        Split(zeros[:0], zeros),
    ]
    assert len({digest([split]) for split in splits}) == len(splits)
    assert digest(splits) == digest([Split(*(t.clone() for t in split)) for split in splits])
