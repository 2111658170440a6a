from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from pipeline.data import Task
from pipeline.normalizers import Normalizer, Traits


@pytest.fixture
def none() -> Normalizer:
    return Normalizer()


@pytest.fixture
def batch() -> Normalizer:
    return Normalizer(features=nn.BatchNorm2d, traits=Traits(bias_free=True))


@pytest.fixture
def images() -> Callable[..., Task]:
    def task(size: int = 32, *, channels: int = 3, outputs: int = 10) -> Task:
        shape = (channels, size, size)
        return Task(loss="cross_entropy", input_shape=shape, outputs=outputs)

    return task


@pytest.fixture
def vectors() -> Task:
    return Task(loss="squared_error", input_shape=(10,), outputs=10)
