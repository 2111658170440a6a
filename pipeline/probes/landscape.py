"""How smooth the loss is along a line: its range, its gradients' predictiveness, effective β."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline.measure import Records, View, flat, leaves, parameters_by_layer


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

    Source: Santurkar et al., NeurIPS 2018, Figure 4 and section 3.1.
    """
    names = _coordinates(view, parameters)
    gradient = [view.grad[name] for name in names]
    slope = flat(gradient).norm()
    lines: dict[str, Callable[[], list[Tensor]]] = {
        "gradient": lambda: gradient,
        "random": lambda: _filter_normalized(view, names),
    }
    spans: dict[str, tuple[float | Tensor, float | Tensor]] = {
        "lr": _lr_span(view.lr, lr_span, lr_cap, slope),
        "common": (common_span[0], common_span[1]),
        "relative": _relative_span(view, names, relative_span),
    }
    rows = []
    for direction in directions:
        line = lines[direction]()
        unit = flat(line).norm()
        for span in ranges:
            low, high = (torch.as_tensor(end / unit) for end in spans[span])
            points = low * (high / low) ** torch.linspace(0, 1, lengths, device=unit.device)
            row = _along(view, names, gradient, line, points)
            rows.append({"range": span, "direction": direction, "lengths": lengths, **row})
    return {key: _column([row[key] for row in rows]) for key in rows[0]}


def _along(
    view: View, names: list[str], gradient: list[Tensor], line: list[Tensor], points: Tensor
) -> dict[str, Tensor]:
    """All quantities of one line; ``points`` are the lengths s, ascending."""
    start, slope = flat(gradient), flat(gradient).norm()
    losses, differences, cosines = [], [], []
    for s in points:
        loss, there = _gradient_at(view, names, line, s)
        losses.append(loss)
        differences.append((there - start).norm())
        cosines.append(torch.dot(there, start) / (there.norm() * slope))
    loss, difference = torch.stack(losses), torch.stack(differences)
    spread = loss.max() - loss.min()
    return {
        "length_min": points[0],
        "length_max": points[-1],
        "loss": view.value,
        "loss_min": loss.min(),
        "loss_max": loss.max(),
        "loss_range": spread,
        "loss_range_relative": spread / view.value,
        "gradient_norm": slope,
        "gradient_difference_min": difference.min(),
        "gradient_difference_max": difference.max(),
        "gradient_difference_relative": difference.max() / slope,
        "cosine_min": torch.stack(cosines).min(),
        "effective_beta": (difference / (points * flat(line).norm())).max(),
    }


def _gradient_at(
    view: View, names: list[str], line: list[Tensor], s: Tensor
) -> tuple[Tensor, Tensor]:
    """L and its gradient at θ − s·d: one forward and one backward."""
    moved = leaves({n: view.before[n] - s * d for n, d in zip(names, line, strict=True)})
    loss = view.loss({**view.before, **moved}, view.batch)
    return loss.detach(), flat(torch.autograd.grad(loss, list(moved.values())))


def _coordinates(view: View, parameters: str) -> list[str]:
    layers = parameters_by_layer(view.network)
    chosen = [layer.weight if parameters == "weights" else layer.all for layer in layers]
    return [name for names in chosen for name in names]


def _lr_span(
    lr: float, span: Sequence[float], cap: float | None, slope: Tensor
) -> tuple[Tensor, Tensor]:
    ends = [end * lr if cap is None else min(end * lr, cap) for end in span]
    return ends[0] * slope, ends[1] * slope


def _relative_span(view: View, names: list[str], span: Sequence[float]) -> tuple[Tensor, Tensor]:
    size = flat([view.before[name] for name in names]).norm()
    return span[0] * size, span[1] * size


def _filter_normalized(view: View, names: list[str]) -> list[Tensor]:
    """A Gaussian direction, each filter scaled to the norm of the filter at θ_t."""
    return [_like_filters(view.before[name], view.rng) for name in names]


def _like_filters(values: Tensor, rng: torch.Generator) -> Tensor:
    noise = torch.randn(values.shape, generator=rng, device=values.device, dtype=values.dtype)
    dims = tuple(range(1, values.dim())) or (0,)
    scale = torch.linalg.vector_norm(values, dim=dims, keepdim=True)
    return noise * scale / torch.linalg.vector_norm(noise, dim=dims, keepdim=True)


def _column(values: list[Tensor] | list[str] | list[int]) -> Tensor | list[str] | list[int]:
    return torch.stack(values) if isinstance(values[0], Tensor) else values  # type: ignore
