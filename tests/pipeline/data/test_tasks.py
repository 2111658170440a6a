"""What is said of a dataset that nobody has read is what reading it finds."""

from __future__ import annotations

import pytest

from pipeline.catalog import registry as catalog
from pipeline.data._tasks import known_samples, known_task


@pytest.mark.parametrize(
    "config",
    [
        *({"name": "digits", "validation": share} for share in (0.0, 0.1, 0.37, 0.999)),
        {"name": "gaussian", "samples": 7, "dimension": 3},
    ],
)
def test_what_is_known_is_what_is_read(config: dict[str, object]) -> None:
    full = catalog.resolve("data", config, "data")
    read = catalog.make("data", full)
    assert known_task(full) == read.task
    assert known_samples(full) == len(read.train.targets)


@pytest.mark.parametrize(
    ("name", "samples"),
    [("fashion_mnist", 60_000), ("cifar10", 50_000), ("cifar100", 50_000), ("svhn", 73_257)],
)
def test_published_sizes(name: str, samples: int) -> None:
    assert known_samples({"name": name, "validation": 0.0}) == samples


def test_what_only_files_tell() -> None:
    assert known_samples({"name": "parquet", "validation": 0.1}) is None
