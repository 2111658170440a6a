"""How much the loss can rise near θ_t: sharpness in a ball, in a ball relative to the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline.catalog.option_types import AtLeastOne, NonEmpty, Positive
from pipeline.probes._directions import coordinates, filter_normalized
from pipeline.probes._vectors import Params, as_leaves, flat, norm, safe_divide
from pipeline.probes._view import Records, View


def sharpness(
    view: View,
    *,
    kinds: NonEmpty[Literal["sam", "adaptive", "average"]] = ("sam", "adaptive", "average"),
    rho: NonEmpty[Positive] = (0.05, 0.5),
    steps: AtLeastOne = 3,
    directions: AtLeastOne = 8,
    parameters: Literal["weights", "all"] = "all",
) -> Records:
    """Rise of the loss from θ to the worst point found near it, and on average around it.

    ``sam`` and ``adaptive`` look for max L(θ + T·δ) over ‖δ‖₂ ≤ ρ, with T = 1 (``sam``: a ball of
    radius ρ, in units of ‖θ‖) or T = |θ| entry by entry (``adaptive``: ρ is a relative change, and
    w → c·w of scale-invariant weights changes nothing; an entry of 0 stays 0). They take ``steps``
    projected ascent steps of length ρ,

        δ ← Π_ρ(δ + ρ·h/‖h‖₂),  h = T·∇L(θ + T·δ),  from δ = 0,

    where Π_ρ projects on the ball. The first is SAM's (ASAM's) point ρ·h/‖h‖. ``worst_loss`` is the
    largest loss of the points visited: a lower bound of the maximum, tight on a convex quadratic as
    steps grow. ``average`` perturbs every filter by ρ times its own norm in a random direction;
    its ``worst_loss`` is the mean loss over ``directions`` of them.

    Records, for every kind and ρ, ``loss`` = L(θ), ``worst_loss`` and ``sharpness`` = worst_loss −
    loss, in units of the loss. A loss that overflows on the way counts as infinite. Where the
    gradient is 0, or θ itself has no finite loss, there is no ascent direction: null. Where
    backward is not the gradient of forward, the ascent follows backward: still a lower bound.

    Cost: (steps − 1)·G + F for each ρ of ``sam`` and ``adaptive``, directions·F for each of
    ``average``.

    Args:
        view: the step; the loss is that of its batch and mode.
        kinds: which measures.
        rho: radii; a record for each kind and radius.
        steps: ascent steps.
        directions: random perturbations of ``average``, the same for every ρ.
        parameters: what is perturbed; ``weights`` holds all else at θ_t.

    Source: Foret et al., ICLR 2021 (SAM); Kwon et al., ICML 2021 (ASAM, without its offset);
    Li et al., NeurIPS 2018 (filter normalization).
    """
    names = coordinates(view, parameters)
    here = [view.before[name] for name in names]
    worst: list[Tensor] = []
    for kind in kinds:
        if kind == "average":
            worst += _average(view, names, rho, directions)
            continue
        scale = [t.abs() if kind == "adaptive" else torch.ones_like(t) for t in here]
        worst += [_worst(view, names, scale, radius, steps) for radius in rho]
    found = torch.stack(worst).to(torch.float64)
    found = torch.where(view.loss_value.isfinite(), found, torch.nan)
    return {
        "kind": [kind for kind in kinds for _ in rho],
        "rho": [float(radius) for _ in kinds for radius in rho],
        "loss": view.loss_value.expand(len(worst)),
        "worst_loss": found,
        "sharpness": found - view.loss_value,
    }


def _worst(view: View, names: list[str], scale: list[Tensor], rho: float, steps: int) -> Tensor:
    """The largest loss that projected ascent meets; NaN where there is no first direction."""
    uphill = flat([view.grad[n] * t for n, t in zip(names, scale, strict=True)])
    place = rho * _unit(uphill)
    losses = []
    for _ in range(steps - 1):
        loss, uphill = _slope(view, names, scale, place)
        losses.append(loss)
        # Where the loss overflows or is flat there is no way on: the step is none.
        place = _projected(place + rho * _unit(uphill).nan_to_num(0.0), rho)
    with torch.no_grad():
        losses.append(view.loss(_moved(view, names, scale, place), view.batch))
    found = _overflow_is_infinite(torch.stack(losses)).max()
    return torch.where(place.isfinite().all(), found, torch.nan)


def _average(view: View, names: list[str], rho: Sequence[float], directions: int) -> list[Tensor]:
    """Mean loss over random relative perturbations, for every radius."""
    losses = []
    for _ in range(directions):
        along = filter_normalized(view, names)
        moved = [[radius * part for part in along] for radius in rho]
        with torch.no_grad():
            losses.append(
                torch.stack([view.loss(_shifted(view, names, m), view.batch) for m in moved])
            )
    return [*_overflow_is_infinite(torch.stack(losses)).to(torch.float64).mean(0)]


def _slope(
    view: View, names: list[str], scale: list[Tensor], place: Tensor
) -> tuple[Tensor, Tensor]:
    """L and T·∇L at θ + T·δ: one forward and one backward."""
    moved = _moved(view, names, scale, place)
    wanted = as_leaves({name: moved[name] for name in names})
    loss = view.loss({**moved, **wanted}, view.batch)
    gradient = torch.autograd.grad(loss, list(wanted.values()), materialize_grads=True)
    return loss.detach(), flat([g * t for g, t in zip(gradient, scale, strict=True)])


def _moved(view: View, names: list[str], scale: list[Tensor], place: Tensor) -> Params:
    """The parameters θ + T·δ, δ flat."""
    parts = place.split([t.numel() for t in scale])
    return _shifted(view, names, [t * p.view_as(t) for t, p in zip(scale, parts, strict=True)])


def _shifted(view: View, names: list[str], by: Sequence[Tensor]) -> Params:
    moved = {name: view.before[name] + part for name, part in zip(names, by, strict=True)}
    return {**view.before, **moved}


def _unit(vector: Tensor) -> Tensor:
    return safe_divide(vector, norm(vector)).to(vector.dtype)


def _projected(place: Tensor, rho: float) -> Tensor:
    """The nearest point of the ball of radius ρ."""
    return place * (rho / norm(place)).clamp(max=1.0).to(place.dtype)


def _overflow_is_infinite(losses: Tensor) -> Tensor:
    return losses.masked_fill(~losses.isfinite(), torch.inf)
