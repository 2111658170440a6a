from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pipeline.data.digits import digits


def test_shapes_and_task() -> None:
    dataset = digits()
    counts = [len(s.targets) for s in (dataset.train, dataset.validation, dataset.test)]
    assert sum(counts) == 1797
    assert counts[2] == pytest.approx(0.2 * 1797, abs=5)
    assert counts[1] == pytest.approx(0.1 * (1797 - counts[2]), abs=5)
    assert (dataset.task.input_shape, dataset.task.outputs) == ((1, 8, 8), 10)


def test_splits_together_are_scikit_learns_digits() -> None:
    dataset = digits()
    pixels, labels = (np.asarray(array) for array in load_digits(return_X_y=True))
    splits = (dataset.train, dataset.validation, dataset.test)
    found = sorted(
        (label, bytes(image.numpy()))
        for split in splits
        for image, label in zip(split.inputs, split.targets.tolist(), strict=True)
    )
    scaled = [bytes(int(v * 255 / 16 + 0.5) for v in image) for image in pixels]
    assert found == sorted(zip(labels.tolist(), scaled, strict=True))


def test_every_class_has_its_share_of_each_split() -> None:
    dataset = digits()
    total = np.bincount(np.asarray(load_digits(return_X_y=True)[1]))
    np.testing.assert_array_equal(dataset.test.targets.bincount(), np.rint(0.2 * total))


def test_test_split_does_not_depend_on_validation() -> None:
    without = digits(validation=0)
    assert len(without.validation.targets) == 0
    assert torch.equal(without.test.inputs, digits(validation=0.3).test.inputs)


def test_same_bytes_whatever_the_seed() -> None:
    torch.manual_seed(1)
    first = digits().digest
    torch.manual_seed(2)
    assert digits().digest == first
