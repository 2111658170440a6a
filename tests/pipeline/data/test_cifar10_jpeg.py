"""The real data: CIFAR-10 (JPEG re-encoding), where the machine has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from pipeline.data import Dataset
from pipeline.data.parquet import parquet

_ROOT = Path(__file__).resolve().parents[3]
_FOLDER = Path(os.environ.get("NORMSCOPE_CIFAR10") or _ROOT.parent / "shared/data/cifar10-jpeg")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not _FOLDER.is_dir(), reason="no CIFAR-10 (JPEG): set NORMSCOPE_CIFAR10 to its folder"
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tests of this file: decoding takes seconds."""
    return tmp_path_factory.mktemp("cifar10")


@pytest.fixture
def dataset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Load all of it, without a validation split."""
    monkeypatch.setenv("NORMSCOPE_CACHE", str(folder))
    return parquet(path=str(_FOLDER), validation=0)


def test_counts_and_balance(dataset: Dataset) -> None:
    assert (dataset.task.input_shape, dataset.task.outputs) == ((3, 32, 32), 10)
    assert dataset.train.targets.bincount().tolist() == [5000] * 10
    assert dataset.test.targets.bincount().tolist() == [1000] * 10
    assert len(dataset.validation.targets) == 0


def test_published_moments(dataset: Dataset) -> None:
    mean = torch.tensor([0.4913, 0.4821, 0.4465])
    std = torch.tensor([0.2452, 0.2428, 0.2606])
    torch.testing.assert_close(dataset.mean, mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(dataset.std, std, atol=1e-4, rtol=0)


def test_limit_is_balanced(dataset: Dataset) -> None:
    few = parquet(path=str(_FOLDER), limit=1000, validation=0.1)
    assert few.train.targets.bincount().tolist() == [90] * 10
    assert few.validation.targets.bincount().tolist() == [10] * 10
    assert torch.equal(few.test.inputs, dataset.test.inputs)
