from __future__ import annotations

import pytest
import torch

from pipeline.data import Dataset, Split
from pipeline.data.gaussian import gaussian


def _matrix(split: Split) -> torch.Tensor:
    """A from y = x Aᵀ, by least squares."""
    return torch.linalg.lstsq(split.inputs.double(), split.targets.double()).solution.T


def _splits(dataset: Dataset) -> tuple[Split, Split, Split]:
    return dataset.train, dataset.validation, dataset.test


def test_defaults_are_the_papers() -> None:
    dataset = gaussian()
    assert dataset.train.inputs.shape == dataset.train.targets.shape == (1000, 10)
    assert dataset.task.loss == "squared_error"
    assert (dataset.task.input_shape, dataset.task.outputs) == ((10,), 10)
    # ‖0 − Ax‖² summed is about N·d²·variance = 10⁴, the scale of the paper's first losses.
    assert dataset.train.targets.square().sum().item() == pytest.approx(1e4, rel=0.3)


def test_all_splits_have_one_map_and_fresh_samples() -> None:
    splits = _splits(gaussian())
    for split in splits:
        torch.testing.assert_close(_matrix(split), _matrix(splits[0]), atol=1e-5, rtol=0)
    assert not torch.equal(splits[0].inputs, splits[1].inputs)
    assert not torch.equal(splits[1].inputs, splits[2].inputs)


def test_laws() -> None:
    dataset = gaussian(samples=4000, dimension=40, variance=0.25)
    entries = _matrix(dataset.train)
    assert entries.mean().item() == pytest.approx(0, abs=0.05)
    assert entries.var().item() == pytest.approx(0.25, rel=0.15)
    for split in _splits(dataset):
        covariance = split.inputs.T.cov()
        torch.testing.assert_close(covariance, torch.eye(40), atol=0.1, rtol=0)


def test_only_the_data_seed_changes_it() -> None:
    torch.manual_seed(1)
    first = gaussian()
    torch.manual_seed(2)
    assert gaussian().digest == first.digest
    assert gaussian(data_seed=1).digest != first.digest


def test_vectors_pass_unchanged() -> None:
    dataset = gaussian()
    batch = dataset.batch(dataset.test, slice(3, 7))
    assert torch.equal(batch.inputs, dataset.test.inputs[3:7])
    assert torch.equal(batch.targets, dataset.test.targets[3:7])


@pytest.mark.parametrize("option", [{"samples": 0}, {"dimension": 0}, {"variance": -1.0}])
def test_bad_option_is_refused(option: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="gaussian needs samples ≥ 1, dimension ≥ 1"):
        gaussian(**option)
