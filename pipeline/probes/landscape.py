"""How smooth the loss is along a line: its range, its gradients' predictiveness, effective β."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline.catalog.option_types import AtLeastOne, NonEmpty, Positive, Span
from pipeline.probes._directions import coordinates, filter_normalized
from pipeline.probes._vectors import as_leaves, flat, norm, safe_divide
from pipeline.probes._view import Records, View


def landscape(
    view: View,
    *,
    lengths: AtLeastOne = 8,
    ranges: NonEmpty[Literal["lr", "common", "relative"]] = ("lr",),
    directions: NonEmpty[Literal["gradient", "random", "update"]] = ("gradient",),
    lr_span: Span = (0.5, 4.0),
    lr_cap: Positive | None = 0.4,
    common_span: Span = (0.01, 1.0),
    relative_span: Span = (0.001, 0.1),
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
    ``update``: d = −Δθ/lr, Δθ = θ_{t+1} − θ_t being the step as the optimizer made it, so that
    s = lr is that step; for plain gradient descent, d = g.
    Ranges: ``lr``: s from lr_span·lr, the upper end at most ``lr_cap`` but never below lr itself;
    the distance moved is s·‖d‖, and s·‖g‖ for a random direction (the paper's: [1/2, 4]·lr up to
    0.4 for its VGG, [1/100, 30]·lr and no cap for its deep linear network). Along the gradient,
    s = lr is the step of plain gradient descent; momentum and other optimizers take another one,
    which ``update`` follows;
    ``common``: the distance moved lies in common_span, the same for all cells; ``relative``: it
    lies in relative_span·‖θ‖.

    Where the loss or its gradient is not finite at some of the points, the maxima (of the loss, its
    range, the gradient difference, β) are infinite, the minima those of the other points, and
    ``finite`` of ``lengths`` says how many these are: a cell that blows up ranks last, and does
    not drop out. A quantity is null where it is not defined: where there is no line (a direction or
    learning rate of 0, a θ_t without finite gradient), and a minimum where no point is finite.

    Cost: S gradients for all quantities of one line.

    Args:
        view: the step.
        lengths: S.
        ranges: which ranges; a record each.
        directions: which directions; a record each.
        lr_span: ends of the range ``lr``, in learning rates.
        lr_cap: largest s of the range ``lr``, or lr where that is larger; null for none.
        common_span: ends of the range ``common``, as distances ‖Δθ‖.
        relative_span: ends of the range ``relative``, as shares of ‖θ‖.
        parameters: the coordinates of the landscape; ``weights`` holds all else at θ_t.

    Source: Santurkar et al., NeurIPS 2018, Figure 4 and section 3.1.
    """
    names = coordinates(view, parameters)
    steepest = [view.grad[name] for name in names]
    gradient = flat(steepest)
    slope = norm(gradient)
    lines: dict[str, Callable[[], list[Tensor]]] = {
        "gradient": lambda: steepest,
        "random": lambda: filter_normalized(view, names),
        "update": lambda: _against_update(view, names),
    }
    size = norm(flat([view.before[name] for name in names]))
    steps = _spaced(_capped(view.lr, lr_span, lr_cap), lengths, slope)
    distances = {
        "common": _spaced(common_span, lengths, slope),
        "relative": size * _spaced(relative_span, lengths, slope),
    }
    rows = []
    for direction in directions:
        line = lines[direction]()
        distances["lr"] = steps * norm(flat(line)) if direction == "update" else slope * steps
        rows += [_along(view, names, gradient, line, distances[span]) for span in ranges]
    if parameters == "all" and directions[0] == "gradient":
        view.shared["effective_beta"] = rows[0]["effective_beta"]
    return {
        "range": [span for _ in directions for span in ranges],
        "direction": [direction for direction in directions for _ in ranges],
        "lengths": [lengths] * len(rows),
        **{key: torch.stack([row[key] for row in rows]) for key in rows[0]},
    }


def _against_update(view: View, names: Sequence[str]) -> list[Tensor]:
    """−Δθ/lr; of a learning rate of 0 there is no such line, and it is NaN."""
    rate = view.lr or math.nan
    return [(view.before[name] - view.after[name]) / rate for name in names]


def _along(
    view: View, names: list[str], gradient: Tensor, line: list[Tensor], distances: Tensor
) -> dict[str, Tensor]:
    """All quantities of one line; ``distances`` are ‖s·d‖, ascending."""
    points, slope = safe_divide(distances, norm(flat(line))), norm(gradient)
    loss, difference, cosine = _seen(view, names, gradient, line, points)
    finite = loss.isfinite() & difference.isfinite()
    low, high = _least(loss, finite), _most(loss, finite)
    spread = torch.where(finite.all(), high - low, torch.inf)
    quantities = {
        "loss_min": low,
        "loss_max": high,
        "loss_range": spread,
        "loss_range_relative": safe_divide(spread, view.loss_value),
        "gradient_difference_min": _least(difference, finite),
        "gradient_difference_max": _most(difference, finite),
        "gradient_difference_relative": safe_divide(_most(difference, finite), slope),
        "cosine_min": _least(cosine, finite & cosine.isfinite()),
        "effective_beta": _most(difference / distances, finite),
        "finite": finite.sum().to(slope),
    }
    # Without a line nothing is defined, which is not the same as a loss that blows up on one.
    defined = points.isfinite().all()
    return {
        "length_min": points[0],
        "length_max": points[-1],
        "loss": view.loss_value,
        "gradient_norm": slope,
        **{key: torch.where(defined, value, torch.nan) for key, value in quantities.items()},
    }


def _seen(
    view: View, names: list[str], gradient: Tensor, line: list[Tensor], points: Tensor
) -> Tensor:
    """Loss, ‖∇L′ − ∇L‖ and their cosine at every point: (3, S), in float64.

    All points share two flat buffers: beside the moved parameters and what autograd itself makes,
    a point allocates nothing of the network's size.
    """
    unit = safe_divide(gradient, norm(gradient)).to(gradient.dtype)
    there, product = torch.empty_like(gradient), torch.empty_like(gradient)
    found = []
    for s in points:
        loss = _gradient_at(view, names, line, s, there)
        torch.mul(there, unit, out=product)
        cosine = safe_divide(product.sum(dtype=torch.float64), norm(there)).clamp(-1, 1)
        found.append(torch.stack([loss.to(cosine), norm(there.sub_(gradient)), cosine]))
    return torch.stack(found, dim=1)


def _gradient_at(
    view: View, names: list[str], line: list[Tensor], s: Tensor, gradient: Tensor
) -> Tensor:
    """L at θ − s·d, its gradient written into a flat buffer: one forward and one backward."""
    step = -s.to(gradient.dtype)
    moved = as_leaves(
        {n: torch.addcmul(view.before[n], d, step) for n, d in zip(names, line, strict=True)}
    )
    loss = view.loss({**view.before, **moved}, view.batch)
    parts = torch.autograd.grad(loss, list(moved.values()), materialize_grads=True)
    places = gradient.split([part.numel() for part in parts])
    for place, part in zip(places, parts, strict=True):
        place.view(part.shape).copy_(part)
    return loss.detach()


def _most(values: Tensor, finite: Tensor) -> Tensor:
    """The maximum, infinite where a point is not finite: nothing that blew up may look smooth."""
    return values.masked_fill(~finite, torch.inf).max()


def _least(values: Tensor, finite: Tensor) -> Tensor:
    """The minimum of the finite points; NaN where there is none."""
    least = values.masked_fill(~finite, torch.inf).min()
    return least.masked_fill(least.isinf(), torch.nan)


def _capped(lr: float, span: Sequence[float], cap: float | None) -> tuple[float, float]:
    """Ends of the range ``lr`` as step lengths; NaN above where there is no range."""
    low, high = span[0] * lr, span[1] * lr
    if cap is not None:
        high = min(high, max(cap, lr))
    return low, high if 0 < low <= high else math.nan


def _spaced(ends: Sequence[float], count: int, like: Tensor) -> Tensor:
    """Geometrically spaced numbers from one end to the other, on the device of ``like``."""
    low, high = torch.tensor(ends, dtype=like.dtype).log()  # numbers, which no device waits for
    place = torch.linspace(0, 1, count, dtype=like.dtype, device=like.device)
    return (low + place * (high - low)).exp()
