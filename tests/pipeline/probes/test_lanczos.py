"""Lanczos on matrices whose spectrum is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.probes import _lanczos
from pipeline.probes._lanczos import LARGEST, SMALLEST, Extremes, lanczos, start_vector

BOTH = (LARGEST, SMALLEST)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def rotated(values: Tensor) -> Tensor:
    q, _ = torch.linalg.qr(normal(len(values), len(values)))
    return (q * values.double() @ q.mT).to(values.dtype)


def true_residuals(matrix: Tensor, found: Extremes) -> Tensor:
    matrix, vectors = matrix.double(), found.vectors.double()
    off = vectors @ matrix - found.values[:, None] * vectors
    return torch.linalg.vector_norm(off, dim=1) / found.values.abs()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("products", [1, 2, 5, 12, 30])
def test_residuals_are_those_of_the_vectors(products: int, dtype: torch.dtype):
    matrix = rotated(torch.linspace(-3, 10, 60, dtype=dtype))
    found = lanczos(lambda v: matrix @ v, normal(60, dtype=dtype), tolerance=0, products=products)
    assert not found.converged
    assert found.products == products
    floor = 20 * torch.finfo(dtype).eps
    assert torch.allclose(found.residuals, true_residuals(matrix, found), rtol=1e-2, atol=floor)


@pytest.mark.parametrize("ends", [(LARGEST,), BOTH])
def test_stops_where_the_ends_asked_for_are_certified(ends: tuple[int, ...]):
    values = torch.cat([torch.linspace(-1, 1, 300), torch.tensor([-4.0, 9.0, 20.0])]).double()
    matrix = rotated(values)
    found = lanczos(lambda v: matrix @ v, normal(303), tolerance=1e-5, products=200, ends=ends)
    assert found.converged
    assert (true_residuals(matrix, found)[[*ends]] <= 1e-5).all()
    exact = torch.tensor([20.0, -4.0], dtype=torch.float64)
    assert torch.allclose(found.values[[*ends]], exact[[*ends]], rtol=1e-9)
    fewer = lanczos(
        lambda v: matrix @ v, normal(303), tolerance=0, products=found.products - 1, ends=ends
    )
    assert (fewer.residuals[[*ends]] > 1e-5).any()


def test_orthogonal_to_rounding_long_after_convergence():
    """Without reorthogonalization a converged eigenvalue would come back as a second copy."""
    matrix = rotated(torch.cat([torch.linspace(0, 1, 199), torch.tensor([1e4])]))
    found = lanczos(
        lambda v: matrix @ v, normal(200, dtype=torch.float32), tolerance=0, products=60
    )
    assert found.values[LARGEST].item() == pytest.approx(1e4, rel=1e-5)
    assert found.residuals[LARGEST] < 1e-5
    assert torch.linalg.vector_norm(found.vectors[LARGEST]).item() == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_small_matrices_are_solved_whole(size: int):
    matrix = rotated(torch.arange(size, dtype=torch.float64) - 1.5)
    found = lanczos(lambda v: matrix @ v, normal(size), tolerance=1e-6, products=50, ends=BOTH)
    assert found.converged
    assert found.products <= size
    assert found.values.tolist() == pytest.approx([size - 2.5, -1.5])


@pytest.mark.parametrize("look_every", [1, 4])
def test_invariant_subspace_ends_it(look_every: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(_lanczos._LOOK_EVERY, "cpu", look_every)
    matrix = rotated(torch.cat([torch.full((50,), 2.0), torch.full((30,), -1.0)]).double())
    found = lanczos(lambda v: matrix @ v, normal(80), tolerance=1e-8, products=40, ends=BOTH)
    assert found.converged
    assert found.products in (2, 4)
    assert found.values.tolist() == pytest.approx([2, -1])


def test_zero_matrix():
    found = lanczos(torch.zeros_like, normal(20), tolerance=1e-3, products=5)
    assert found.converged
    assert found.values.tolist() == [0, 0]
    assert found.residuals.isnan().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_null(value: float):
    found = lanczos(lambda v: v * value, normal(20), tolerance=1e-3, products=5)
    assert not found.converged
    assert found.values.isnan().all()
    assert found.residuals.isnan().all()


def test_looking_less_often_only_takes_longer(monkeypatch: pytest.MonkeyPatch):
    matrix = rotated(torch.cat([torch.linspace(-1, 1, 100), torch.tensor([5.0])]).double())

    def found() -> Extremes:
        return lanczos(lambda v: matrix @ v, normal(101), tolerance=1e-4, products=50)

    often = found()
    monkeypatch.setitem(_lanczos._LOOK_EVERY, "cpu", 4)
    seldom = found()
    assert often.products <= seldom.products < often.products + 4
    assert seldom.products % 4 == 0
    assert seldom.converged


def test_start_at_the_eigenvector_is_warm():
    matrix = rotated(torch.cat([torch.linspace(-1, 1, 200), torch.tensor([3.0])]).double())
    cold = lanczos(lambda v: matrix @ v, normal(201), tolerance=1e-6, products=80)
    start = start_vector(normal(201, seed=1), cold.vectors[:1], torch.Generator())
    warm = lanczos(lambda v: matrix @ v, start, tolerance=1e-6, products=80)
    assert warm.converged
    assert warm.products < cold.products


def test_a_gradient_without_the_eigenvector_still_finds_it():
    values = torch.linspace(1, 2, 50).double()
    blind = torch.zeros(50, dtype=torch.float64)
    blind[:10] = 1
    start = start_vector(blind, None, torch.Generator().manual_seed(0))
    found = lanczos(lambda v: values * v, start, tolerance=1e-6, products=50)
    assert found.values[LARGEST].item() == pytest.approx(2)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_start_ignores_what_has_no_direction(value: float):
    nothing = torch.full((5,), value)
    start = start_vector(nothing, None, torch.Generator().manual_seed(0))
    assert torch.linalg.vector_norm(start).item() == pytest.approx(0.1)


def test_vectors_of_many_entries_have_unit_length():
    """A norm summed in float32 is off by 6e-4 here, and the eigenvalue by twice as much."""
    start = normal(10_000_000, dtype=torch.float32)
    found = lanczos(lambda v: 3 * v, start, tolerance=1e-3, products=1)
    assert found.values[LARGEST].item() == pytest.approx(3, rel=1e-6)
    length = torch.linalg.vector_norm(found.vectors[LARGEST], dtype=torch.float64)
    assert length.item() == pytest.approx(1, rel=1e-6)
