"""Internal covariate shift as the distance between two distributions of the same unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pipeline.catalog.option_types import AtLeastOne, NonEmpty
from pipeline.probes._activations import (
    Place,
    by_unit,
    columns_of,
    mean_and_std,
    over_units,
    places_of,
    watched,
)
from pipeline.probes._vectors import Params, safe_divide
from pipeline.probes._view import Records, View

QUANTITIES = ("w1", "w1_p90", "gaussian_w2", "gaussian_w2_p90")


class _Units(NamedTuple):
    """What is kept of a layer's values: their moments, and every unit's values in order."""

    mean: Tensor
    std: Tensor
    ordered: Tensor
    """(units, values of a unit), ascending."""


def distribution_ics(
    view: View,
    *,
    places: NonEmpty[Literal["activation", "output", "input"]] = ("activation",),
    layers: Sequence[AtLeastOne] | None = None,
) -> Records:
    """How far one update moves the whole distribution of a layer's units, and how far chance does.

    For unit j (a channel over N, H, W, or a feature over N) of a layer on the fixed probe batch,
    with its M values x at θ_t and x' at θ_{t+1}, means μ, μ' and deviations σ, σ', records the mean
    and the 90th percentile over units of

        W₁ / σ_j            W₁ = 1/M Σ_k |x_(k) − x'_(k)|, the values in ascending order
        Gaussian W₂ / σ_j   W₂ = √((μ' − μ)² + (σ' − σ)²)

    the first exact for the two empirical distributions, the second what it would be were both
    Gaussian. The floor is the mean over units of the same distances between the probe batch and as
    many other training samples, as fixed, at the same weights θ_t: what chance alone puts between
    two batches. It is null where the training split has fewer than twice the probe batch's samples.
    Units with σ = 0 are left out. A normalizer's noise is part of its distribution: the network at
    θ_{t+1} is seen under the noise of step t + 1.

    Cost: 3 forward passes, run stage by stage side by side, so that the values of one stage at a
    time are held, and a sort of each unit's values.

    Args:
        view: the step.
        places: ``activation``: what enters the nonlinearities; ``output``: what leaves the weight
            layers, before a normalizer; ``input``: what enters the weight layers.
        layers: which of them, from 1 on; null for all.

    Raises:
        ValueError: if a layer is named that the network has not, or it has no activation and
            activations are asked for.

    Source: Ioffe & Szegedy, ICML 2015 (the quantity); Vallender, Theory Probab. Appl. 1974 (W₁ on
    the line); Dowson & Landau, J. Multivariate Anal. 1982 (W₂ of Gaussians).
    """
    chosen = places_of(view.network, places, layers, "distribution_ics")
    rows = [torch.empty(0)] * len(chosen)
    with torch.no_grad():
        for positions, runs in _stage_by_stage(view, chosen):
            for position, seen in zip(positions, zip(*runs, strict=True), strict=True):
                rows[position] = _row(*seen)
    names = (*QUANTITIES, "w1_floor", "gaussian_w2_floor")
    columns = torch.stack(rows, dim=1)
    return {**columns_of(chosen), **dict(zip(names, columns, strict=True))}


@dataclass
class _Run:
    """One of the forward passes, on its way through the stages."""

    params: Params
    step: int
    values: Tensor


def _stage_by_stage(
    view: View, places: Sequence[Place]
) -> Iterator[tuple[list[int], list[list[_Units]]]]:
    """For each stage: which places it holds, and what every run makes of these."""
    batch, other = view.probe_batch, view.second_probe_batch
    runs = [
        _Run(view.before, view.step, batch.inputs),
        _Run(view.after, view.step + 1, batch.inputs),
    ]
    if other is not None:
        runs.append(_Run(view.before, view.step, other.inputs))
    for stage in range(max(place.stage for place in places) + 1):
        positions = [i for i, place in enumerate(places) if place.stage == stage]
        here, found = [places[i] for i in positions], []
        for run in runs:
            with watched(here, _units) as units, view.noise_of(run.step):
                run.values = view.network.run_stages(
                    run.params, run.values, range(stage, stage + 1)
                )
            found.append(units)
        yield positions, found


def _units(values: Tensor) -> _Units:
    return _Units(*mean_and_std(values), by_unit(values).T.contiguous().sort(dim=1).values)


def _row(now: _Units, following: _Units, other: _Units | None = None) -> Tensor:
    """All quantities of a layer."""
    update = _distances(now, following)
    if other is None:
        return torch.stack([*update, *[torch.full_like(update[0], torch.nan)] * 2])
    w1, _, gaussian, _ = _distances(now, other)
    return torch.stack([*update, w1, gaussian])


def _distances(a: _Units, b: _Units) -> tuple[Tensor, ...]:
    """W₁ and Gaussian W₂ in units of a's deviations, each as mean and 90th percentile."""
    w1 = (a.ordered - b.ordered).abs().mean(1)
    gaussian = torch.hypot(a.mean - b.mean, a.std - b.std)
    return *over_units(safe_divide(w1, a.std)), *over_units(safe_divide(gaussian, a.std))
