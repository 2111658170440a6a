"""Slow, obvious twins of the probes: whole networks, copied, set and run; plain loops; NumPy."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.architectures import Activation, Network
from pipeline.data import Batch
from pipeline.data._objective import objective
from pipeline.probes._vectors import Params
from pipeline.probes._view import View
from pipeline.seeds import derive

Rows = dict[str, list[float]]
LEVELS = (5, 25, 50, 75, 95)


def copy_with(view: View, params: Mapping[str, Tensor], step: int | None = None) -> Network:
    """A copy of the network in training mode, with these parameters and the noise of a step."""
    network = copy.deepcopy(view.network)
    network.train()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(params[name])
            parameter.grad = None
        for name, buffer in network.named_buffers():
            buffer.copy_(params.get(name, buffer))
    noisy: list[Any] = [item for item in network.named_modules() if hasattr(item[1], "noise_key")]
    for name, module in noisy:
        module.noise_key = derive(view.seed, "noise", name, view.step if step is None else step)
    return network


def loss_and_gradient(view: View, params: Mapping[str, Tensor], batch: Batch) -> tuple[float, dict]:
    """L and its gradient by parameter name, by a backward pass through a whole copy."""
    network = copy_with(view, params)
    loss = objective(network.task, network(batch.inputs), batch.targets)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in network.named_parameters()}


def weight_layer_names(network: nn.Module) -> list[str]:
    return [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def owners(network: nn.Module) -> dict[str, int]:
    """The place of the weight layer that each parameter belongs to."""
    layers = weight_layer_names(network)
    owner, current = {}, 0
    for name, _ in network.named_parameters():
        for place, layer in enumerate(layers):
            if name.startswith(layer + "."):
                current = place
        owner[name] = current
    return owner


def is_weight(name: str, layers: Sequence[str]) -> bool:
    """Whether a parameter is a weight layer's weight, or a part of it."""
    return any(
        name == f"{layer}.weight" or name.startswith(f"{layer}.parametrizations.weight.")
        for layer in layers
    )


def norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float((t.double() ** 2).sum()) for t in tensors))


def inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return sum(float((x.double() * y.double()).sum()) for x, y in zip(a, b, strict=True))


def minus(a: Sequence[Tensor], b: Sequence[Tensor]) -> list[Tensor]:
    return [x - y for x, y in zip(a, b, strict=True)]


def gradient_ics(view: View, parameters: str) -> Rows:
    """Two whole gradients for every layer: all old, and old behind a new prefix."""
    owner, layers = owners(view.network), weight_layer_names(view.network)
    rows: Rows = {k: [] for k in ("gradient_norm", "l2", "relative", "cosine", "per_update")}
    _, whole = loss_and_gradient(view, view.before, view.batch)
    for place in range(len(layers)):
        earlier = [name for name, index in owner.items() if index < place]
        own = [name for name, index in owner.items() if index == place]
        if parameters == "weights":
            own = [name for name in own if is_weight(name, layers)]
        mixed = {n: (view.after if n in earlier else view.before)[n] for n in owner}
        _, shifted = loss_and_gradient(view, mixed, view.batch)
        old, new = [whole[name] for name in own], [shifted[name] for name in own]
        moved = norm([view.after[name] - view.before[name] for name in earlier])
        shift = norm(minus(new, old))
        rows["gradient_norm"].append(norm(old))
        rows["l2"].append(shift)
        rows["relative"].append(shift / norm(old))
        rows["cosine"].append(inner(old, new) / (norm(old) * norm(new)))
        rows["per_update"].append(shift / moved if place else math.nan)
    return rows


def values_at(view: View, params: Params, step: int, batch: Batch, place: str) -> list[np.ndarray]:
    """What is at a place of each layer on a batch, as (units, values of a unit)."""
    network, seen = copy_with(view, params, step), []
    wanted = Activation if place == "activation" else (nn.Conv2d, nn.Linear)

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        values = output if place == "output" else inputs[0]
        seen.append(np.moveaxis(values.detach().numpy(), 1, 0))

    for module in network.modules():
        if isinstance(module, wanted):
            module.register_forward_hook(keep)
    network(batch.inputs)
    return [values.reshape(len(values), -1) for values in seen]


def _shifts(old: np.ndarray, new: np.ndarray, kind: str) -> dict[str, float]:
    mean, log_std = [], []
    for before, after in zip(old, new, strict=True):
        a, b = before.std(), after.std()
        if a > 0:
            mean.append(abs(after.mean() - before.mean()) / a)
        if a > 0 and b > 0:
            log_std.append(abs(math.log(b) - math.log(a)))
    return {
        f"mean_{kind}": float(np.mean(mean)),
        f"mean_{kind}_p90": float(np.quantile(mean, 0.9)),
        f"log_std_{kind}": float(np.mean(log_std)),
        f"log_std_{kind}_p90": float(np.quantile(log_std, 0.9)),
    }


def moment_ics(view: View, places: Sequence[str]) -> Rows:
    """NumPy moments, unit by unit, of three whole runs a place."""
    moved = norm(minus(list(view.after.values()), list(view.before.values())))
    rows: Rows = {}
    for place in places:
        start = {**view.initial, **view.initial_buffers}
        initial = values_at(view, start, 0, view.probe_batch, place)
        now = values_at(view, view.before, view.step, view.probe_batch, place)
        following = values_at(view, view.after, view.step + 1, view.probe_batch, place)
        for at_start, old, new in zip(initial, now, following, strict=True):
            row = _shifts(old, new, "shift") | _shifts(at_start, old, "drift")
            row["mean_shift_per_update"] = row["mean_shift"] / moved
            row["log_std_shift_per_update"] = row["log_std_shift"] / moved
            row["dead"] = float(np.mean([unit.std() == 0 for unit in old]))
            row |= {f"q{level:02d}": float(np.quantile(old, level / 100)) for level in LEVELS}
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
    return rows


def filter_normalized(values: Tensor, rng: torch.Generator) -> Tensor:
    """A Gaussian tensor whose filters (all of it, for a vector) have the norms of the values'."""
    noise = torch.randn(values.shape, generator=rng, dtype=values.dtype)
    if values.ndim < 2:
        return noise * norm([values]) / norm([noise])
    for row in range(len(values)):
        noise[row] *= norm([values[row]]) / norm([noise[row]])
    return noise


def landscape_row(
    view: View,
    value: float,
    start: dict[str, Tensor],
    direction: list[Tensor],
    distances: Sequence[float],
) -> dict[str, float]:
    """One line: the loss and the whole gradient at every distance from θ_t."""
    names, old, unit = list(start), list(start.values()), norm(direction)
    losses, differences, cosines = [], [], []
    for distance in distances:
        params = dict(view.before)
        for name, along in zip(names, direction, strict=True):
            params[name] = view.before[name] - distance / unit * along
        loss, gradient = loss_and_gradient(view, params, view.batch)
        there = [gradient[name] for name in names]
        losses.append(loss)
        differences.append(norm(minus(there, old)))
        cosines.append(inner(there, old) / (norm(there) * norm(old)))
    return {
        "length_min": distances[0] / unit,
        "length_max": distances[-1] / unit,
        "loss": value,
        "loss_min": min(losses),
        "loss_max": max(losses),
        "loss_range": max(losses) - min(losses),
        "loss_range_relative": (max(losses) - min(losses)) / value,
        "gradient_norm": norm(old),
        "gradient_difference_min": min(differences),
        "gradient_difference_max": max(differences),
        "gradient_difference_relative": max(differences) / norm(old),
        "cosine_min": min(cosines),
        "effective_beta": max(d / s for d, s in zip(differences, distances, strict=True)),
        "finite": sum(math.isfinite(a) for a in losses),
    }


def landscape(view: View, lengths: int, rng: torch.Generator, parameters: str) -> Rows:
    """Both directions by all three ranges, of the probe's default spans."""
    owner, layers = owners(view.network), weight_layer_names(view.network)
    names = [n for n in owner if parameters == "all" or is_weight(n, layers)]
    value, whole = loss_and_gradient(view, view.before, view.batch)
    start = {name: whole[name] for name in names}
    gradient = list(start.values())
    random = [filter_normalized(view.before[name], rng) for name in names]
    size, slope = norm([view.before[name] for name in names]), norm(gradient)
    spans = {
        "lr": (0.5 * view.lr * slope, min(4 * view.lr, 0.4) * slope),
        "common": (0.01, 1.0),
        "relative": (0.001 * size, 0.1 * size),
    }
    rows: Rows = {}
    for direction in (gradient, random):
        for low, high in spans.values():
            distances = [float(d) for d in np.geomspace(low, high, lengths)]
            row = landscape_row(view, value, start, direction, distances)
            for key, number in row.items():
                rows.setdefault(key, []).append(number)
    return rows
