"""The landscape on a quadratic, where all is known; its ranges, directions and edges."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.catalog import registry as catalog
from pipeline.data import Batch
from pipeline.probes._layers import parameters_by_layer
from pipeline.probes._vectors import flat, norm
from pipeline.probes._view import View, preserve_state
from pipeline.probes.landscape import landscape
from pipeline.spec.read import SpecError
from tests.helpers.training.views import linear_view, view_of

LR = 0.01


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, Y, W = normal(6, 4, seed=1), normal(6, 3, seed=2), normal(3, 4, seed=3)
GRADIENT = 2 * (X @ W.T - Y).T @ X
LAMBDA = 2 * torch.linalg.matrix_norm(X, 2).item() ** 2
"""The largest singular value of the Hessian of ‖XWᵀ − Y‖², V ↦ 2·V·XᵀX."""


def quadratic() -> View:
    return linear_view([W], Batch(X, Y), LR)


def fresh(view: View, seed: int = 0) -> View:
    return replace(view, rng=torch.Generator().manual_seed(seed))


def observed(view: View, **options: Any) -> dict[str, Any]:
    with preserve_state(view.network):
        return dict(landscape(view, **options))


def row(records: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {k: c[index].item() if isinstance(c, Tensor) else c[index] for k, c in records.items()}


def test_quadratic_in_closed_form():
    found = row(observed(quadratic(), lengths=4))
    curved = 2 * GRADIENT @ X.T @ X
    loss, slope = (X @ W.T - Y).square().sum().item(), GRADIENT.norm().item()
    points = [LR * 0.5 * 8 ** (i / 3) for i in range(4)]
    bend = (GRADIENT * curved).sum().item()
    losses = [loss - s * slope**2 + s**2 / 2 * bend for s in points]

    def cosine(s: float) -> float:
        there = GRADIENT - s * curved
        return ((there * GRADIENT).sum() / (there.norm() * slope)).item()

    assert found == {
        "range": "lr",
        "direction": "gradient",
        "lengths": 4,
        "length_min": pytest.approx(0.5 * LR),
        "length_max": pytest.approx(4 * LR),
        "loss": pytest.approx(loss),
        "loss_min": pytest.approx(min(losses)),
        "loss_max": pytest.approx(max(losses)),
        "loss_range": pytest.approx(max(losses) - min(losses)),
        "loss_range_relative": pytest.approx((max(losses) - min(losses)) / loss),
        "gradient_norm": pytest.approx(slope),
        "gradient_difference_min": pytest.approx(points[0] * curved.norm().item()),
        "gradient_difference_max": pytest.approx(points[-1] * curved.norm().item()),
        "gradient_difference_relative": pytest.approx(points[-1] * curved.norm().item() / slope),
        "cosine_min": pytest.approx(min(cosine(s) for s in points)),
        "effective_beta": pytest.approx(curved.norm().item() / slope),
        "finite": 4,
    }


def test_effective_beta_is_at_most_the_largest_singular_value():
    records = observed(
        quadratic(), ranges=("lr", "common", "relative"), directions=("gradient", "random")
    )
    assert (records["effective_beta"] <= LAMBDA * (1 + 1e-9)).all()
    assert (records["effective_beta"] > 0).all()


@pytest.mark.parametrize(
    ("lr", "cap", "low", "high"),
    [
        (0.01, 0.4, 0.005, 0.04),
        (0.2, 0.4, 0.1, 0.4),
        (0.2, None, 0.1, 0.8),
        (0.5, 0.4, 0.25, 0.5),
        (3.0, 0.4, 1.5, 3.0),
    ],
)
def test_lr_range_and_its_cap(lr: float, cap: float | None, low: float, high: float):
    """The step that training takes is always on the line, whatever the cap."""
    found = row(observed(replace(quadratic(), lr=lr), lr_cap=cap))
    assert (found["length_min"], found["length_max"]) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(("lr", "span"), [(0.0, (0.5, 4.0)), (0.3, (2.0, 4.0))])
def test_empty_lr_range_is_null(lr: float, span: tuple[float, float]):
    """A rate of 0, and [0.6, 0.4]: a loss range of 0 would mislead."""
    view = replace(quadratic(), lr=lr)
    found = row(observed(view, ranges=("lr", "common"), lr_span=span))
    kept = ("range", "direction", "lengths", "loss", "gradient_norm")
    assert [k for k, v in found.items() if k not in kept and not math.isnan(v)] == []
    assert found["gradient_norm"] == pytest.approx(GRADIENT.norm().item())


BLOWN = ("loss_max", "loss_range", "loss_range_relative", "gradient_difference_max")
BLOWN += ("gradient_difference_relative", "effective_beta")


def test_a_loss_that_blows_up_on_the_line_ranks_last():
    """A float32 line to where the squares overflow: its first point is finite, its last is not."""
    view = linear_view([W.float()], Batch(X.float(), Y.float()), LR)
    found = row(observed(view, lengths=3, ranges=("common",), common_span=(1.0, 1e30)))
    alone = row(observed(view, lengths=1, ranges=("common",), common_span=(1.0, 1.0)))
    assert (found["finite"], found["lengths"]) == (2, 3)
    assert {name: found[name] for name in BLOWN} == dict.fromkeys(BLOWN, math.inf)
    assert found["gradient_difference_min"] == alone["gradient_difference_min"]
    assert math.isfinite(found["loss_min"])
    assert math.isfinite(found["cosine_min"])


def test_no_finite_point_leaves_the_minima_null():
    view = linear_view([W.float()], Batch(X.float(), Y.float()), LR)
    found = row(observed(view, lengths=2, ranges=("common",), common_span=(1e30, 1e35)))
    assert found["finite"] == 0
    assert {name: found[name] for name in BLOWN} == dict.fromkeys(BLOWN, math.inf)
    for name in ("loss_min", "gradient_difference_min", "cosine_min"):
        assert math.isnan(found[name]), name


def test_a_point_allocates_one_copy_of_the_network_beside_autograd():
    """Moved parameters; the gradient and its difference are written into the line's own buffers."""
    view = view_of("vgg", "none", dtype=torch.float32)
    size = sum(tensor.numel() for tensor in view.before.values())
    large: list[torch.Size] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            made = func(*args, **(kwargs or {}))
            if isinstance(made, Tensor) and made.numel() >= size and not func.is_view:
                known = [
                    a.data_ptr() for a in (*args, *(kwargs or {}).values()) if torch.is_tensor(a)
                ]
                large.extend([made.shape] * (made.data_ptr() not in known))
            return made

    counts = []
    for lengths in (2, 5):
        large.clear()
        with Watch():
            observed(view, lengths=lengths)
        counts.append(len(large))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("direction", ["gradient", "random"])
def test_ranges_move_the_stated_distances(direction: str):
    view = view_of("vgg", "batch")
    moved: list[float] = []
    names = [n for n, _ in view.network.named_parameters()]

    def watch(*_: Any) -> None:
        now = dict(view.network.named_parameters())
        moved.append(norm(flat([now[n] - view.before[n] for n in names])).item())

    handle = view.network.register_forward_pre_hook(watch)
    observed(
        view,
        lengths=3,
        ranges=("lr", "common", "relative"),
        directions=(direction,),
        common_span=(0.02, 0.5),
        relative_span=(0.01, 0.04),
    )
    handle.remove()
    slope = norm(flat(view.grad)).item()
    size = norm(flat(view.before)).item()
    lr = [view.lr * slope * factor for factor in (0.5, math.sqrt(2), 4)]
    assert moved == pytest.approx([*lr, 0.02, 0.1, 0.5, 0.01 * size, 0.02 * size, 0.04 * size])


def test_random_direction_has_the_norms_of_the_filters():
    view = view_of("vgg", "batch")
    places: list[dict[str, Tensor]] = []
    handle = view.network.register_forward_pre_hook(
        lambda *_: places.append({n: p.detach() for n, p in view.network.named_parameters()})
    )
    length = observed(view, lengths=1, directions=("random",))["length_min"].item()
    handle.remove()
    for name, before in view.before.items():
        moved, filters = (before - places[0][name]) / length, before
        if before.ndim == 1:
            moved, filters = moved[None], filters[None]
        assert torch.allclose(moved.flatten(1).norm(dim=1), filters.flatten(1).norm(dim=1)), name
        assert (moved != 0).any() or (before == 0).all()


def test_random_direction_comes_from_the_views_generator():
    view = view_of("deep_linear")
    options: dict[str, Any] = {"directions": ("random",), "ranges": ("common",)}
    first, again, other = (observed(fresh(view, seed), **options) for seed in (1, 1, 2))
    torch.manual_seed(9)
    assert row(first) == row(again)
    assert row(first)["loss_max"] != row(other)["loss_max"]


def test_weights_hold_all_else():
    view = view_of("vgg", "batch")
    seen: list[list[str]] = []
    handle = view.network.register_forward_pre_hook(
        lambda *_: seen.append(
            [n for n, p in view.network.named_parameters() if not torch.equal(p, view.before[n])]
        )
    )
    observed(view, lengths=1, parameters="weights")
    handle.remove()
    weights = [n for layer in parameters_by_layer(view.network) for n in layer.weight]
    assert seen == [weights]


def test_one_length_is_the_lower_end():
    found = row(observed(quadratic(), lengths=1))
    assert found["length_min"] == found["length_max"] == pytest.approx(0.5 * LR)
    assert found["loss_range"] == 0


@pytest.mark.parametrize("direction", ["gradient", "random"])
def test_zero_gradient_is_null_and_raises_nothing(direction: str):
    eye = torch.eye(4, dtype=torch.float64)
    view = fresh(linear_view([eye], Batch(X, X), LR))
    records = observed(view, directions=(direction,), ranges=("lr", "common", "relative"))
    found = [row(records, index) for index in range(3)]
    for name in ("gradient_difference_relative", "loss_range_relative", "cosine_min"):
        assert all(math.isnan(one[name]) for one in found), name
    assert not any(value == math.inf for one in found for value in one.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": 0}, "x.lengths: must be greater than or equal to 1"),
        ({"ranges": []}, "x.ranges: must"),
        ({"directions": []}, "x.directions: must"),
        ({"lr_cap": 0.0}, "x.lr_cap: must"),
        ({"lr_span": [0.0, 4.0]}, "x.lr_span: must be two ascending numbers above 0"),
        ({"common_span": [1.0, 0.1]}, "x.common_span: must be two ascending numbers"),
        ({"relative_span": [0.1]}, "x.relative_span: must be two ascending numbers"),
    ],
)
def test_bad_options_are_refused_when_the_file_is_read(options: dict[str, Any], message: str):
    with pytest.raises(SpecError, match=message):
        catalog.resolve("probes", {"name": "landscape", "every": 1, **options}, "x")


@pytest.mark.parametrize(("directions", "left"), [(("gradient", "random"), 1), (("random",), 0)])
def test_effective_beta_of_the_first_line_is_left_to_other_probes(
    directions: tuple[str, ...], left: int
):
    view = quadratic()
    found = observed(view, directions=directions)["effective_beta"][0]
    assert list(view.shared.values()) == [found] * left
