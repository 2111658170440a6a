"""A slow, obvious twin of sharpness: one parameter tensor after another, one loss after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.probes._view import View
from tests.helpers.reference.probes import (
    Rows,
    filter_normalized,
    is_weight,
    loss_and_gradient,
    norm,
    owners,
    weight_layer_names,
)


def _loss(view: View, offsets: dict[str, Tensor]) -> float:
    params = {n: t + offsets[n] if n in offsets else t for n, t in view.before.items()}
    return loss_and_gradient(view, params, view.batch)[0]


def ascent(view: View, names: Sequence[str], rho: float, steps: int, adaptive: bool) -> float:
    """The largest loss of the points of projected ascent in coordinates δ, θ + T·δ."""
    scale = {n: view.before[n].abs() if adaptive else 1.0 for n in names}
    place = {n: torch.zeros_like(view.before[n]) for n in names}
    visited = []
    for _ in range(steps):
        offsets = {n: scale[n] * place[n] for n in names}
        params = {n: t + offsets[n] if n in offsets else t for n, t in view.before.items()}
        _, gradient = loss_and_gradient(view, params, view.batch)
        uphill = {n: scale[n] * gradient[n] for n in names}
        length = norm(list(uphill.values()))
        place = {n: place[n] + rho * uphill[n] / length for n in names}
        outside = max(1.0, norm(list(place.values())) / rho)
        place = {n: place[n] / outside for n in names}
        visited.append(_loss(view, {n: scale[n] * place[n] for n in names}))
    return max(visited)


def sharpness(
    view: View, rho: Sequence[float], steps: int, directions: int, rng: torch.Generator, which: str
) -> Rows:
    """All three kinds at every radius."""
    layers = weight_layer_names(view.network)
    names = [n for n in owners(view.network) if which == "all" or is_weight(n, layers)]
    value = _loss(view, {})
    worst = [ascent(view, names, radius, steps, False) for radius in rho]
    worst += [ascent(view, names, radius, steps, True) for radius in rho]
    drawn = [{n: filter_normalized(view.before[n], rng) for n in names} for _ in range(directions)]
    for radius in rho:
        losses = [_loss(view, {n: radius * t for n, t in one.items()}) for one in drawn]
        worst.append(sum(losses) / directions)
    return {
        "loss": [value] * len(worst),
        "worst_loss": worst,
        "sharpness": [loss - value for loss in worst],
    }
