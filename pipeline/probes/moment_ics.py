"""Internal covariate shift as the change of a layer's input distribution, and activation fans."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils.rnn import pad_sequence

from pipeline.measure import Params, Records, View, flat, norm, ratio

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SAMPLE = 2**14
T = TypeVar("T")


class Moments(NamedTuple):
    """Mean and standard deviation of every unit: (layers, most units), NaN beyond a layer's own."""

    mean: Tensor
    std: Tensor
    units: Tensor
    """How many units each layer has."""


def moment_ics(view: View) -> Records:
    """How fast the mean and the spread of a layer's pre-activations move, in units of the spread.

    On the fixed probe batch, in training mode, for unit j (a channel over N, H, W, or a feature
    over N) of each activation layer, with μ, σ before and μ', σ' after one update (σ² is the
    population variance):

        mean shift = |μ'_j − μ_j| / σ_j        log-std shift = |log σ'_j − log σ_j|

    Records the mean and the 90th percentile over units, the mean divided by ‖Δθ‖₂, the same two
    distances from the network's start (θ_0 against θ_t, in units of σ at θ_0): the *drift*; and
    the 5, 25, 50, 75, 95 % quantiles of the layer's pre-activations at θ_t (on at most 2¹⁴ values,
    spread evenly over units, samples and positions). Units with σ = 0 have no unit to measure in:
    they are left out, and their share is recorded as ``dead``. A normalizer's noise is part of its
    distribution: each of the three networks is seen under the noise of its own step.

    Cost: 2 forward passes (and one more, once a cell, for θ_0).

    Raises:
        ValueError: if the network has no activation.

    Source: Ioffe & Szegedy, ICML 2015 (the change of a layer's input distribution); Santurkar et
    al., NeurIPS 2018, Figures 2 and 8 (change of mean and variance between successive steps).
    """
    layers = view.network.activation_layers()
    if not layers:
        raise ValueError("moment_ics needs a network with activations; this one has none")
    with torch.no_grad():
        if "initial" not in view.memory:
            view.memory["initial"] = _moments(_seen(view, view.initial, 0, _mean_and_std))
        both = _seen(view, view.before, view.step, lambda x: (_mean_and_std(x), _quantiles(x)))
        now = _moments([moments for moments, _ in both])
        following = _moments(_seen(view, view.after, view.step + 1, _mean_and_std))
        shift, drift = _distances(now, following), _distances(view.memory["initial"], now)
        moved = norm(flat(view.after) - flat(view.before))
        quantiles = torch.stack([quantiles for _, quantiles in both], dim=1)
    columns: dict[str, Tensor] = {
        "mean_shift_per_update": ratio(shift["mean_shift"], moved),
        "log_std_shift_per_update": ratio(shift["log_std_shift"], moved),
        **shift,
        **{name.replace("shift", "drift"): value for name, value in drift.items()},
        "dead": (now.std == 0).sum(1) / now.units,
    }
    columns |= {f"q{round(100 * q):02d}": row for q, row in zip(QUANTILES, quantiles, strict=True)}
    return {
        "layer": [layer.name for layer in layers],
        "index": range(1, len(layers) + 1),
        "layers": [len(layers)] * len(layers),
        **columns,
    }


def _seen(view: View, params: Params, step: int, function: Callable[[Tensor], T]) -> list[T]:
    """What a function makes of the inputs of every activation, in one run of the probe batch."""
    found: list[T] = []

    def take(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(function(inputs[0]))

    hooks = [
        layer.module.register_forward_pre_hook(take) for layer in view.network.activation_layers()
    ]
    try:
        with view.noise_of(step):
            functional_call(view.network, params, (view.probe_batch.inputs,))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _mean_and_std(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of each unit. Seen from the unit's first value, so that σ of a constant is exactly 0."""
    units = values.movedim(1, -1).flatten(0, -2)  # everything else by unit
    first = units[0]
    centered = units - first
    mean = centered.mean(0)
    return first + mean, centered.sub_(mean).square_().mean(0).sqrt()


def _quantiles(values: Tensor) -> Tensor:
    """Quantiles of a tensor's entries, on an evenly spread sample where there are many."""
    count = values.numel()
    if count > _SAMPLE:
        # Multiples of the golden ratio mod 1: even, and never in step with a row or a channel.
        golden = (math.sqrt(5) - 1) / 2
        place = torch.arange(_SAMPLE, device=values.device, dtype=torch.float64) * golden % 1
        values = values.take((place * count).long())
    levels = torch.tensor(QUANTILES, device=values.device, dtype=values.dtype)
    return torch.quantile(values.flatten(), levels)


def _moments(layers: Sequence[tuple[Tensor, Tensor]]) -> Moments:
    """Join the layers' moments, so that what follows is a few operations on all of them."""
    mean, std = (pad_sequence([*part], True, torch.nan) for part in zip(*layers, strict=True))
    return Moments(mean, std, mean.new_tensor([len(unit) for unit, _ in layers]))


def _distances(old: Moments, new: Moments) -> dict[str, Tensor]:
    """The two shifts between two sets of moments, a row a layer."""
    distances = {
        "mean_shift": (new.mean - old.mean).abs() / old.std,
        "log_std_shift": (new.std / old.std).log().abs(),
    }
    reduced: dict[str, Tensor] = {}
    for name, values in distances.items():
        # Units without spread, whose distances are infinite or undefined, are left out.
        units = values.masked_fill(~values.isfinite(), torch.nan)
        reduced[name] = units.nanmean(1)
        reduced[f"{name}_p90"] = units.nanquantile(0.9, 1)
    return reduced
