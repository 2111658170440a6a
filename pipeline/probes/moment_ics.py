"""Internal covariate shift as the change of a layer's input distribution, and activation fans."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils.rnn import pad_sequence

from pipeline.catalog.option_types import AtLeastOne, NonEmpty
from pipeline.probes._activations import (
    Place,
    columns_of,
    mean_and_std,
    over_units,
    places_of,
    watched,
)
from pipeline.probes._vectors import Params, flat, norm, safe_divide
from pipeline.probes._view import Records, View

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SAMPLE = 2**14
T = TypeVar("T")


class Moments(NamedTuple):
    """Mean and standard deviation of every unit: (layers, most units), NaN beyond a layer's own."""

    mean: Tensor
    std: Tensor
    units: Tensor
    """How many units each layer has."""


def moment_ics(
    view: View,
    *,
    places: NonEmpty[Literal["activation", "output", "input"]] = ("activation", "output"),
    layers: Sequence[AtLeastOne] | None = None,
) -> Records:
    """How fast the mean and the spread of a layer's activations move, in units of the spread.

    On the fixed probe batch, for unit j (a channel over N, H, W, or a feature over N) of each
    layer, with μ, σ before and μ', σ' after one update (σ² is the population variance):

        mean shift = |μ'_j − μ_j| / σ_j        log-std shift = |log σ'_j − log σ_j|

    Records the mean and the 90th percentile over units, the mean divided by ‖Δθ‖₂, the same two
    distances from the network's start (θ_0 against θ_t, in units of σ at θ_0): the *drift*; and
    the 5, 25, 50, 75, 95 % quantiles of the layer's values at θ_t (on at most 2¹⁴ of them, spread
    evenly over units, samples and positions). Units with σ = 0 have no unit to measure in: they are
    left out, and their share is recorded as ``dead``. A normalizer's noise is part of its
    distribution: each of the three networks is seen under the noise of its own step. Buffers are
    those of step t at θ_t and θ_{t+1}, and those of step 0 at θ_0.

    After batch normalization the moments of a unit are β and γ by construction. What its layers
    really make of a changed input is seen at their output, before the normalizer.

    Cost: 2 forward passes for all places together (and one more, once a cell, for θ_0).

    Args:
        view: the step.
        places: ``activation``: what enters the nonlinearities; ``output``: what leaves the weight
            layers, before a normalizer; ``input``: what enters the weight layers.
        layers: which of them, from 1 on; null for all.

    Raises:
        ValueError: if a layer is named that the network has not, or it has no activation and
            activations are asked for.

    Source: Ioffe & Szegedy, ICML 2015 (the change of a layer's input distribution); Santurkar et
    al., NeurIPS 2018, Figures 2 and 8 (change of mean and variance between successive steps).
    """
    chosen = places_of(view.network, places, layers, "moment_ics")
    with torch.no_grad():
        if "initial" not in view.memory:
            start = view.initial | view.initial_buffers
            initial = _moments(_seen(view, chosen, start, 0, mean_and_std))
            view.memory["initial"] = tuple(initial)  # plain, for a checkpoint
        both = _seen(
            view, chosen, view.before, view.step, lambda x: (mean_and_std(x), _quantiles(x))
        )
        now = _moments([moments for moments, _ in both])
        following = _moments(_seen(view, chosen, view.after, view.step + 1, mean_and_std))
        shift, drift = _distances(now, following), _distances(Moments(*view.memory["initial"]), now)
        moved = norm(flat(view.after) - flat(view.before))
        quantiles = torch.stack([quantiles for _, quantiles in both], dim=1)
    columns: dict[str, Tensor] = {
        "mean_shift_per_update": safe_divide(shift["mean_shift"], moved),
        "log_std_shift_per_update": safe_divide(shift["log_std_shift"], moved),
        **shift,
        **{name.replace("shift", "drift"): value for name, value in drift.items()},
        "dead": (now.std == 0).sum(1) / now.units,
    }
    columns |= {f"q{round(100 * q):02d}": row for q, row in zip(QUANTILES, quantiles, strict=True)}
    return {**columns_of(chosen), **columns}


def _seen(
    view: View, places: Sequence[Place], params: Params, step: int, function: Callable[[Tensor], T]
) -> list[T]:
    """What a function makes of every place, in one run of the probe batch."""
    with watched(places, function) as found, view.noise_of(step):
        functional_call(view.network, params, (view.probe_batch.inputs,))
    return found


def _quantiles(values: Tensor) -> Tensor:
    """Quantiles of a tensor's entries, on an evenly spread sample where there are many."""
    count = values.numel()
    if count > _SAMPLE:
        # Multiples of the golden ratio mod 1: even, and never in step with a row or a channel.
        golden = (math.sqrt(5) - 1) / 2
        place = torch.arange(_SAMPLE, device=values.device, dtype=torch.float64) * golden % 1
        values = values.take((place * count).long())
    return torch.quantile(values.flatten(), _filled(values, QUANTILES))


def _filled(like: Tensor, numbers: Sequence[float]) -> Tensor:
    """Numbers on the device of ``like``; copied from a list they would have to be waited for."""
    return torch.stack([like.new_full((), number) for number in numbers])


def _moments(layers: Sequence[tuple[Tensor, Tensor]]) -> Moments:
    """Join the layers' moments, so that what follows is a few operations on all of them."""
    mean, std = (pad_sequence([*part], True, torch.nan) for part in zip(*layers, strict=True))
    return Moments(mean, std, _filled(mean, [len(unit) for unit, _ in layers]))


def _distances(old: Moments, new: Moments) -> dict[str, Tensor]:
    """The two shifts between two sets of moments, a row a layer."""
    distances = {
        "mean_shift": (new.mean - old.mean).abs() / old.std,
        "log_std_shift": (new.std / old.std).log().abs(),
    }
    reduced: dict[str, Tensor] = {}
    for name, values in distances.items():
        reduced[name], reduced[f"{name}_p90"] = over_units(values)
    return reduced
