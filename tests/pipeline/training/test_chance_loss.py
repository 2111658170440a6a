"""The loss at chance, against closed forms and the loss function itself."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.catalog import registry as catalog
from pipeline.data import Task
from pipeline.data._objective import chance_loss, objective

CLASSES = Task(loss="cross_entropy", input_shape=(2,), outputs=4)
VALUES = Task(loss="squared_error", input_shape=(2,), outputs=2)


def test_equally_frequent_classes_give_ln_k() -> None:
    targets = torch.arange(4).repeat(5)
    assert chance_loss(CLASSES, targets, 8) == pytest.approx(math.log(4), rel=1e-12)


def test_unequal_classes_give_their_entropy() -> None:
    targets = torch.tensor([0, 0, 0, 1])
    by_hand = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert chance_loss(CLASSES, targets, None) == pytest.approx(by_hand, rel=1e-12)
    logits = torch.tensor([0.75, 0.25, 0.0, 0.0], dtype=torch.float64).log().expand(4, 4)
    assert float(objective(CLASSES, logits, targets)) == pytest.approx(by_hand, rel=1e-12)


def test_one_class_is_known_by_chance() -> None:
    assert chance_loss(CLASSES, torch.zeros(6, dtype=torch.int64), None) == 0


def test_a_regression_is_the_batch_sum_around_the_mean() -> None:
    targets = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) + 3
    best = targets.double().mean(0).expand(50, 2)
    whole = float(objective(VALUES, best, targets.double()))
    assert chance_loss(VALUES, targets, None) == pytest.approx(whole, rel=1e-12)
    assert chance_loss(VALUES, targets, 10) == pytest.approx(whole / 5, rel=1e-12)


def test_digits_are_nearly_balanced() -> None:
    dataset = catalog.make("data", {"name": "digits"})
    found = chance_loss(dataset.task, dataset.train.targets, 64)
    assert found == pytest.approx(math.log(10), abs=1e-3)
    assert found <= math.log(10)
