"""How smooth the loss is along a line: its range, its gradients' predictiveness, effective β."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline.measure import (
    Records,
    View,
    cosine,
    flat,
    leaves,
    norm,
    parameters_by_layer,
    ratio,
)


def landscape(
    view: View,
    *,
    lengths: int = 8,
    ranges: Sequence[Literal["lr", "common", "relative"]] = ("lr",),
    directions: Sequence[Literal["gradient", "random"]] = ("gradient",),
    lr_span: Sequence[float] = (0.5, 4.0),
    lr_cap: float | None = 0.4,
    common_span: Sequence[float] = (0.01, 1.0),
    relative_span: Sequence[float] = (0.001, 0.1),
    parameters: Literal["weights", "all"] = "all",
) -> Records:
    """Loss and gradient at S points on a line from θ_t, on the step's own batch, in training mode.

    With g = ∇L(θ_t), a direction d and lengths s_1 < … < s_S (geometrically spaced), records

        loss range               max_s L(θ − s·d) − min_s L(θ − s·d), and over L(θ)
        gradient predictiveness  min and max over s of ‖∇L(θ − s·d) − g‖₂, the maximum over ‖g‖₂,
                                 and the smallest cosine between the two gradients
        effective β              max_s ‖∇L(θ − s·d) − g‖₂ / ‖s·d‖₂

    Directions: ``gradient``: d = g. ``random``: d is Gaussian, every filter (or row) scaled to the
    norm of the filter it perturbs, vectors to their own norm (Li et al., NeurIPS 2018).
    Ranges: ``lr``: s from lr_span·lr, the upper end at most ``lr_cap``, the distance moved being
    s·‖g‖ for both directions (the paper's: [1/2, 4]·lr up to 0.4 for its VGG, [1/100, 30]·lr and no
    cap for its deep linear network); ``common``: the distance moved lies in common_span, the same
    for all cells; ``relative``: it lies in relative_span·‖θ‖.

    A quantity is null where it is not defined: on a range that the cap leaves empty (lr_cap ≤
    lr_span[0]·lr), where a direction is 0, and where a loss or gradient on the line is NaN.

    Cost: S gradients for all quantities of one line.

    Args:
        view: the step.
        lengths: S.
        ranges: which ranges; a record each.
        directions: which directions; a record each.
        lr_span: ends of the range ``lr``, in learning rates.
        lr_cap: largest s of the range ``lr``; null for none.
        common_span: ends of the range ``common``, as distances ‖Δθ‖.
        relative_span: ends of the range ``relative``, as shares of ‖θ‖.
        parameters: the coordinates of the landscape; ``weights`` holds all else at θ_t.

    Raises:
        ValueError: if there is no length, range or direction, or a span is not two ascending
            numbers above 0.

    Source: Santurkar et al., NeurIPS 2018, Figure 4 and section 3.1.
    """
    spans = {"lr_span": lr_span, "common_span": common_span, "relative_span": relative_span}
    _check(lengths, ranges, directions, spans)
    names = _coordinates(view, parameters)
    gradient = [view.grad[name] for name in names]
    slope = norm(flat(gradient))
    lines: dict[str, Callable[[], list[Tensor]]] = {
        "gradient": lambda: gradient,
        "random": lambda: _filter_normalized(view, names),
    }
    size = norm(flat([view.before[name] for name in names]))
    distances = {
        "lr": slope * _spaced(_capped(view.lr, lr_span, lr_cap), lengths, slope),
        "common": _spaced(common_span, lengths, slope),
        "relative": size * _spaced(relative_span, lengths, slope),
    }
    rows = []
    for direction in directions:
        line = lines[direction]()
        rows += [_along(view, names, gradient, line, distances[span]) for span in ranges]
    return {
        "range": [span for _ in directions for span in ranges],
        "direction": [direction for direction in directions for _ in ranges],
        "lengths": [lengths] * len(rows),
        **{key: torch.stack([row[key] for row in rows]) for key in rows[0]},
    }


def _along(
    view: View, names: list[str], gradient: list[Tensor], line: list[Tensor], distances: Tensor
) -> dict[str, Tensor]:
    """All quantities of one line; ``distances`` are ‖s·d‖, ascending."""
    start, points = flat(gradient), ratio(distances, norm(flat(line)))
    losses, differences, cosines = [], [], []
    for s in points:
        loss, there = _gradient_at(view, names, line, s)
        losses.append(loss)
        differences.append(norm(there - start))
        cosines.append(cosine(there, start))
    loss, difference, slope = torch.stack(losses), torch.stack(differences), norm(start)
    spread = loss.max() - loss.min()
    return {
        "length_min": points[0],
        "length_max": points[-1],
        "loss": view.value,
        "loss_min": loss.min(),
        "loss_max": loss.max(),
        "loss_range": spread,
        "loss_range_relative": ratio(spread, view.value),
        "gradient_norm": slope,
        "gradient_difference_min": difference.min(),
        "gradient_difference_max": difference.max(),
        "gradient_difference_relative": ratio(difference.max(), slope),
        "cosine_min": torch.stack(cosines).min(),
        "effective_beta": (difference / distances).max(),
    }


def _gradient_at(
    view: View, names: list[str], line: list[Tensor], s: Tensor
) -> tuple[Tensor, Tensor]:
    """L and its gradient at θ − s·d: one forward and one backward."""
    moved = leaves({n: view.before[n] - s * d for n, d in zip(names, line, strict=True)})
    loss = view.loss({**view.before, **moved}, view.batch)
    return loss.detach(), flat(
        torch.autograd.grad(loss, list(moved.values()), materialize_grads=True)
    )


def _coordinates(view: View, parameters: str) -> list[str]:
    layers = parameters_by_layer(view.network)
    chosen = [layer.weight if parameters == "weights" else layer.all for layer in layers]
    return [name for names in chosen for name in names]


def _capped(lr: float, span: Sequence[float], cap: float | None) -> tuple[float, float]:
    """Ends of the range ``lr`` as step lengths; NaN above where the cap leaves no range."""
    low, high = span[0] * lr, span[1] * lr
    if cap is None or high <= cap:
        return low, high
    return low, cap if low < cap else math.nan


def _spaced(ends: Sequence[float], count: int, like: Tensor) -> Tensor:
    """Geometrically spaced numbers from one end to the other, on the device of ``like``."""
    low, high = torch.tensor(ends, dtype=like.dtype, device=like.device).log()
    place = torch.linspace(0, 1, count, dtype=like.dtype, device=like.device)
    return (low + place * (high - low)).exp()


def _filter_normalized(view: View, names: list[str]) -> list[Tensor]:
    """A Gaussian direction, each filter scaled to the norm of the filter at θ_t."""
    return [_like_filters(view.before[name], view.rng) for name in names]


def _like_filters(values: Tensor, rng: torch.Generator) -> Tensor:
    noise = torch.randn(values.shape, generator=rng, device=values.device, dtype=values.dtype)
    dims = tuple(range(1, values.dim())) or (0,)
    scale = torch.linalg.vector_norm(values, dim=dims, keepdim=True)
    return noise * scale / torch.linalg.vector_norm(noise, dim=dims, keepdim=True)


def _check(
    lengths: int,
    ranges: Sequence[str],
    directions: Sequence[str],
    spans: Mapping[str, Sequence[float]],
) -> None:
    if lengths < 1 or not ranges or not directions:
        raise ValueError("landscape needs lengths of at least 1, a range and a direction")
    for name, span in spans.items():
        if len(span) != 2 or not 0 < span[0] <= span[1]:
            raise ValueError(f"{name} must be two ascending numbers above 0, not {list(span)}")
