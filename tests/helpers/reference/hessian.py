"""The Hessian written out, from a whole copy of the network, and what the probes make of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.data._objective import objective
from pipeline.probes._view import View
from tests.helpers.reference.probes import (
    Rows,
    copy_with,
    is_weight,
    loss_and_gradient,
    norm,
    owners,
    weight_layer_names,
)

CHUNK = 128


def plain_gradient(view: View) -> tuple[list[Tensor], Tensor]:
    """Parameters of a copy of the network, and its flat gradient with a graph, all by autograd."""
    network = copy_with(view, view.before)
    modules: list[Any] = [m for m in network.modules() if hasattr(m, "track_running_stats")]
    for module in modules:
        module.track_running_stats = False
    network.train(view.mode == "train")
    loss = objective(network.task, network(view.batch.inputs), view.batch.targets)
    places: list[Tensor] = list(network.parameters())
    slopes = torch.autograd.grad(loss, places, create_graph=True, materialize_grads=True)
    return places, torch.cat([slope.reshape(-1) for slope in slopes])


def rows_times_hessian(places: list[Tensor], gradient: Tensor, rows: Tensor) -> Tensor:
    """Each row's product with H, of plain backward passes."""
    found = torch.autograd.grad(
        gradient, places, rows, retain_graph=True, is_grads_batched=True, materialize_grads=True
    )
    return torch.cat([part.reshape(len(rows), -1) for part in found], 1)


def dense(view: View) -> Tensor:
    """H (n, n), a row a unit vector."""
    places, gradient = plain_gradient(view)
    unit = torch.eye(len(gradient), dtype=gradient.dtype)
    return torch.cat([rows_times_hessian(places, gradient, part) for part in unit.split(CHUNK)])


def entries(view: View) -> dict[str, list[int]]:
    """Where each parameter's entries are in the flat vector."""
    found, at = {}, 0
    for name, tensor in view.before.items():
        found[name] = list(range(at, at + tensor.numel()))
        at += tensor.numel()
    return found


def flat(values: Mapping[str, Tensor], view: View) -> Tensor:
    return torch.cat([values[name].reshape(-1) for name in view.before])


def curvature(view: View, hessian: Tensor, signs: list[Tensor]) -> dict[str, float]:
    values = torch.linalg.eigvalsh(hessian)
    gradient = flat(view.grad, view)
    unit = gradient / norm([gradient])
    traces = [(z @ hessian @ z).item() for z in signs]
    mean = sum(traces) / len(traces)
    variance = sum((trace - mean) ** 2 for trace in traces) / (len(traces) - 1)
    return {
        "lambda_max": values[-1].item(),
        "lambda_min": values[0].item(),
        "gradient_curvature": (unit @ hessian @ unit).item(),
        "hessian_gradient_norm": norm([hessian @ unit]),
        "trace": mean,
        "trace_error": math.sqrt(variance / len(traces)),
        "eta_lambda_max": view.lr * values[-1].item(),
    }


def descent_lemma(view: View, hessian: Tensor) -> dict[str, float]:
    gradient = flat(view.grad, view)
    update = flat(view.after, view) - flat(view.before, view)
    (before, _), (after, _) = (
        loss_and_gradient(view, params, view.batch) for params in (view.before, view.after)
    )
    first = (gradient @ update).item()
    predicted = first + 0.5 * (update @ hessian @ update).item()
    along = (gradient @ hessian @ gradient / (gradient @ gradient)).item()
    return {
        "predicted": predicted,
        "predicted_first_order": first,
        "realised": after - before,
        "ratio": (after - before) / predicted,
        "gradient_curvature": along,
        "eta_gradient_curvature": view.lr * along,
    }


def _places(view: View, layer: int) -> tuple[list[int], list[int]]:
    """Entries of a layer's weight, and of all that belongs to the layers before it."""
    owner, where, layers = owners(view.network), entries(view), weight_layer_names(view.network)
    own = [n for n, place in owner.items() if place == layer and is_weight(n, layers)]
    before = [n for n, place in owner.items() if place < layer]
    return [e for n in own for e in where[n]], [e for n in before for e in where[n]]


def cross_layer(view: View, hessian: Tensor) -> Rows:
    gradient = flat(view.grad, view)
    rows: Rows = {"lower": [], "whole": [], "share": []}
    for layer in range(len(weight_layer_names(view.network))):
        own, before = _places(view, layer)
        lower = norm([hessian[own][:, before] @ gradient[before]])
        whole = norm([hessian[own] @ gradient])
        rows["lower"].append(lower)
        rows["whole"].append(whole)
        rows["share"].append(lower / whole)
    return rows


def scale_invariant(view: View, hessian: Tensor) -> Rows:
    values = [flat(part, view) for part in (view.before, view.after, view.grad)]
    rows: Rows = {}
    for layer in range(len(weight_layer_names(view.network))):
        own, _ = _places(view, layer)
        old, new, gradient = (part[own] for part in values)
        size, slope = norm([old]), norm([gradient])
        largest = torch.linalg.eigvalsh(hessian[own][:, own])[-1].item()
        # Half the chord of two unit vectors is the sine of half their angle.
        chord = norm([old / size - new / norm([new])])
        row = {
            "weight_norm": size,
            "gradient_norm": slope,
            "weight_times_gradient": size * slope,
            "angular_update": 2 * math.asin(chord / 2),
            "effective_lr": view.lr / size**2,
            "block_lambda": largest,
            "weight_squared_times_lambda": size**2 * largest,
        }
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    return rows
