"""Internal covariate shift as the change of a layer's input distribution, and activation fans."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from pipeline.measure import Params, Records, View, flat

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SAMPLE = 2**14


class Moments(NamedTuple):
    """Mean and standard deviation of every unit of every activation layer, and layer quantiles."""

    mean: list[Tensor]
    std: list[Tensor]
    quantiles: list[Tensor]


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

    Source: Ioffe & Szegedy, ICML 2015 (the change of a layer's input distribution); Santurkar et
    al., NeurIPS 2018, Figures 2 and 8 (change of mean and variance between successive steps).
    """
    with torch.no_grad():
        if "initial" not in view.memory:
            view.memory["initial"] = _moments(view, view.initial, 0)
        now = _moments(view, view.before, view.step)
        following = _moments(view, view.after, view.step + 1)
        shift, drift = _distances(now, following), _distances(view.memory["initial"], now)
        moved = (flat(view.after) - flat(view.before)).norm()
    layers = view.network.activation_layers()
    columns: dict[str, Tensor] = {
        "mean_shift_per_update": shift["mean_shift"] / moved,
        "log_std_shift_per_update": shift["log_std_shift"] / moved,
        **shift,
        **{name.replace("shift", "drift"): value for name, value in drift.items()},
        "dead": torch.stack([(std == 0).float().mean() for std in now.std]),
    }
    quantiles = torch.stack(now.quantiles, dim=1)
    columns |= {f"q{round(100 * q):02d}": row for q, row in zip(QUANTILES, quantiles, strict=True)}
    return {
        "layer": [layer.name for layer in layers],
        "index": range(1, len(layers) + 1),
        "layers": [len(layers)] * len(layers),
        **columns,
    }


def _moments(view: View, params: Params, step: int) -> Moments:
    """Run the probe batch once and take the moments of what enters every activation."""
    found = Moments([], [], [])

    def take(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0]
        units = values.transpose(0, 1).flatten(1)  # unit by everything else
        std, mean = torch.std_mean(units, dim=1, correction=0)
        found.mean.append(mean)
        found.std.append(std)
        found.quantiles.append(_quantiles(values))

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


def _quantiles(values: Tensor) -> Tensor:
    """Quantiles of a tensor's entries, on an evenly spread sample where there are many."""
    values = values.flatten()
    if len(values) > _SAMPLE:
        # Multiples of the golden ratio mod 1: even, and never in step with a row or a channel.
        golden = (math.sqrt(5) - 1) / 2
        index = torch.arange(_SAMPLE, device=values.device, dtype=torch.float64) * golden % 1
        values = values[(index * len(values)).long()]
    levels = torch.tensor(QUANTILES, device=values.device, dtype=values.dtype)
    return torch.quantile(values, levels)


def _distances(old: Moments, new: Moments) -> dict[str, Tensor]:
    """The two shifts between two sets of moments, a row a layer."""
    mean = [(b - a).abs() / s for a, b, s in zip(old.mean, new.mean, old.std, strict=True)]
    log_std = [(b / a).log().abs() for a, b in zip(old.std, new.std, strict=True)]
    return {
        name: torch.stack([reduce(_measurable(unit)) for unit in units])
        for label, units in (("mean_shift", mean), ("log_std_shift", log_std))
        for name, reduce in ((label, torch.nanmean), (f"{label}_p90", _ninetieth))
    }


def _measurable(units: Tensor) -> Tensor:
    """Mark units without spread, whose distances are infinite or undefined, as missing."""
    return units.masked_fill(~units.isfinite(), torch.nan)


def _ninetieth(units: Tensor) -> Tensor:
    return torch.nanquantile(units, 0.9)
