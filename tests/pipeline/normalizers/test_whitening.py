"""Whitened channels are uncorrelated, and the power −1/2 has derivatives everywhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.normalizers._ops.inverse_sqrt import inverse_root
from tests.helpers.parts.normalizer_blocks import make

MIXED = torch.randn(16, 16, generator=torch.Generator().manual_seed(0)).double()
UNMIXED = MIXED.inverse()
VECTORS = torch.randn(64, 16, generator=torch.Generator().manual_seed(1)).double() @ MIXED


def _covariance(vectors: Tensor) -> Tensor:
    return torch.cov(vectors.T, correction=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("decorrelated_batch", {"eps": 1e-12}),
        ("iterative_whitening", {"iterations": 12, "eps": 1e-12}),
    ],
)
def test_channels_are_white(name: str, options: dict[str, Any]) -> None:
    outputs = make(name, **options).features(16).double()(VECTORS + 9 * VECTORS @ UNMIXED)
    identity = torch.eye(16, dtype=torch.float64)
    torch.testing.assert_close(_covariance(outputs), identity, rtol=0, atol=1e-6)


def test_groups_are_whitened_apart() -> None:
    outputs = make("decorrelated_batch", channels_per_group=8).features(16).double()(VECTORS)
    halves = [make("decorrelated_batch", channels_per_group=8).features(8).double() for _ in "12"]
    wanted = torch.cat([halves[0](VECTORS[:, :8]), halves[1](VECTORS[:, 8:])], dim=1)
    torch.testing.assert_close(outputs, wanted)


def test_groups_of_one_channel_are_batch_normalization() -> None:
    alone = make("decorrelated_batch", channels_per_group=1).features(16).double()
    torch.testing.assert_close(alone(VECTORS), make("batch").features(16).double()(VECTORS))


def test_maps_are_vectors_at_their_pixels() -> None:
    of_vectors, of_maps = (make("decorrelated_batch").features(16).double() for _ in range(2))
    maps = VECTORS.view(16, 2, 2, 16).permute(0, 3, 1, 2)
    outputs = of_maps(maps).permute(0, 2, 3, 1).reshape(64, 16)
    torch.testing.assert_close(outputs, of_vectors(VECTORS))


def test_fewer_vectors_than_channels_and_dead_channels_stay_finite() -> None:
    few = VECTORS[:5].clone()
    few[:, :4] = 0
    leaf = few.float().requires_grad_()
    outputs = make("decorrelated_batch").features(16)(leaf)
    (outputs.sin().sum()).backward()
    assert leaf.grad is not None
    assert outputs.isfinite().all()
    assert leaf.grad.isfinite().all()


def _symmetrized(matrices: Tensor) -> Tensor:
    return inverse_root((matrices + matrices.mT) / 2)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")  # torch's own use of it
@pytest.mark.parametrize("matrix", [torch.eye(4), torch.diag(torch.tensor([1.0, 2, 2, 5]))])
def test_derivatives_of_the_root_where_eigenvalues_coincide(matrix: Tensor) -> None:
    leaf = matrix.double().requires_grad_()
    assert torch.autograd.gradcheck(_symmetrized, leaf, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(_symmetrized, leaf, check_fwd_over_rev=True)


@pytest.mark.parametrize("name", ["decorrelated_batch", "iterative_whitening"])
def test_channels_that_do_not_divide(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: 12 channels do not divide into groups of 8"):
        make(name, channels_per_group=8).features(12)


@pytest.mark.parametrize("size", [2, 3, 16, 64])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_the_root_of_a_matrix_that_is_not_finite_is_nan(size: int, bad: float) -> None:
    """LAPACK raises at some sizes, CUDA's solver at all: a diverged cell would end as failed."""
    matrices = torch.eye(size).repeat(3, 1, 1)
    matrices[1] = bad
    matrices.requires_grad_()
    roots = inverse_root(matrices)
    (gradient,) = torch.autograd.grad(roots.sum(), matrices)
    for found in (roots, gradient):
        assert found[1].isnan().all()
        assert found[[0, 2]].isfinite().all()
    assert torch.equal(roots[0], torch.eye(size))
