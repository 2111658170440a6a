"""Slow, obvious twins of the probes that look at layers: plain loops over units, NumPy, SciPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from pipeline.architectures import Activation
from pipeline.data import Batch
from pipeline.data._objective import objective
from pipeline.normalizers._ops.batch_norm import BatchNorm
from pipeline.probes._view import View
from tests.helpers.reference.probes import (
    Rows,
    copy_with,
    inner,
    is_weight,
    loss_and_gradient,
    minus,
    norm,
    owners,
    values_at,
    weight_layer_names,
)


def _distances(old: np.ndarray, new: np.ndarray) -> tuple[list[float], list[float]]:
    """W₁ and Gaussian W₂ of every unit with a spread, in units of it."""
    w1, gaussian = [], []
    for a, b in zip(old, new, strict=True):
        if a.std() > 0:
            w1.append(float(wasserstein_distance(a, b)) / a.std())
            gaussian.append(math.hypot(b.mean() - a.mean(), b.std() - a.std()) / a.std())
    return w1, gaussian


def distribution_ics(view: View, places: Sequence[str]) -> Rows:
    """SciPy's W₁ between whole runs, unit by unit."""
    rows: Rows = {}
    assert view.second_probe_batch is not None
    for place in places:
        now = values_at(view, view.before, view.step, view.probe_batch, place)
        following = values_at(view, view.after, view.step + 1, view.probe_batch, place)
        other = values_at(view, view.before, view.step, view.second_probe_batch, place)
        for a, b, c in zip(now, following, other, strict=True):
            (w1, gaussian), (w1_floor, gaussian_floor) = _distances(a, b), _distances(a, c)
            row = {
                "w1": np.mean(w1),
                "w1_p90": np.quantile(w1, 0.9),
                "gaussian_w2": np.mean(gaussian),
                "gaussian_w2_p90": np.quantile(gaussian, 0.9),
                "w1_floor": np.mean(w1_floor),
                "gaussian_w2_floor": np.mean(gaussian_floor),
            }
            for name, value in row.items():
                rows.setdefault(name, []).append(float(value))
    return rows


def gradient_noise(view: View, other: Batch, parameters: str) -> Rows:
    """Two whole gradients, of the network and then layer by layer."""
    owner, layers = owners(view.network), weight_layer_names(view.network)
    _, first = loss_and_gradient(view, view.before, view.batch)
    _, second = loss_and_gradient(view, view.before, other)
    kept = [n for n in owner if parameters == "all" or is_weight(n, layers)]
    groups = [kept, *([n for n in kept if owner[n] == i] for i in range(len(layers)))]
    rows: Rows = {k: [] for k in ("gradient_norm", "l2", "relative", "cosine")}
    for names in groups:
        a, b = [first[n] for n in names], [second[n] for n in names]
        rows["gradient_norm"].append(norm(a))
        rows["l2"].append(norm(minus(a, b)))
        rows["relative"].append(norm(minus(a, b)) / norm(a))
        rows["cosine"].append(inner(a, b) / (norm(a) * norm(b)))
    return rows


def signal_propagation(view: View) -> Rows:
    """Singular values, all pairs of samples, and a finite difference of none: plain backward."""
    network, seen = copy_with(view, view.before), []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        inputs[0].retain_grad()
        seen.append(inputs[0])

    for module in network.modules():
        if isinstance(module, Activation):
            module.register_forward_hook(keep)
    objective(network.task, network(view.batch.inputs), view.batch.targets).backward()
    rows: Rows = {k: [] for k in ("variance", "stable_rank", "sample_cosine", "gradient_norm")}
    for tensor in seen:
        values = tensor.detach().numpy()
        units = np.moveaxis(values, 1, 0)
        samples = values.reshape(len(values), -1)
        singular = np.linalg.svd(samples, compute_uv=False)
        pairs = [
            float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
            for a, b in combinations(samples, 2)
        ]
        rows["variance"].append(float(np.mean([unit.var() for unit in units])))
        rows["stable_rank"].append(float((singular**2).sum() / singular[0] ** 2))
        rows["sample_cosine"].append(float(np.mean(pairs)))
        rows["gradient_norm"].append(norm([tensor.grad]))
    return rows


class _Cut(nn.Module):
    """Puts a given tensor where a module's input or output was."""

    def __init__(self, module: nn.Module, place: str) -> None:
        super().__init__()
        self.module, self.place = module, place
        self.at: Tensor | None = None
        self.inputs: Tensor | None = None
        self.outputs: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs = inputs
        if self.at is not None and self.place == "input":
            return self.module(self.at)
        outputs = self.outputs = self.module(inputs)
        return outputs if self.at is None else self.at


def _function_of(view: View, name: str, place: str) -> tuple[Any, Tensor, Tensor]:
    """L as a function of one module's input or output; that input, and that output."""
    network = copy_with(view, view.before)
    cut = _Cut(network.get_submodule(name), place)
    network.set_submodule(name, cut)

    def loss(at: Tensor | None) -> Tensor:
        cut.at = at
        return objective(network.task, network(view.batch.inputs), view.batch.targets)

    loss(None)
    assert cut.inputs is not None
    assert cut.outputs is not None
    return loss, cut.inputs.detach(), cut.outputs.detach()


def _derivatives(loss: Any, at: Tensor, along: Tensor | None) -> tuple[Tensor, float]:
    """∂L, and the second derivative along a direction (the gradient itself by default)."""
    at = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at), at, create_graph=True)
    along = gradient.detach() if along is None else along
    (product,) = torch.autograd.grad((gradient * along).sum(), at, materialize_grads=True)
    return gradient.detach(), float((product * along).sum())


def batchnorm_theorems(view: View) -> Rows:
    """Every layer in a network cut at it, twice: at its input and at its output; unit by unit."""
    rows: Rows = {}
    norms = [n for n, m in view.network.named_modules() if type(m) is BatchNorm]
    for name in norms:
        of_input, y, _ = _function_of(view, name, "input")
        of_output, _, z = _function_of(view, name, "output")
        d, curvature = _derivatives(of_input, y, None)
        gamma = view.before[f"{name}.weight"]
        direction, g = torch.empty_like(d), _derivatives(of_output, z, d)[0]
        row = dict.fromkeys(
            ("gradient_squared", "output_gradient_squared", "scaled_squared", "mean_term"), 0.0
        ) | dict.fromkeys(("projection_term", "curvature_term"), 0.0)
        scales = []
        for unit in range(y.shape[1]):
            values, slope, step = (t[:, unit].flatten() for t in (y, g, d))
            m, variance = len(values), values.var(correction=0) + 1e-5
            hat = (values - values.mean()) / variance.sqrt()
            scale, projection = float(gamma[unit] ** 2 / variance), float(slope @ hat)
            scales.append(scale)
            direction[:, unit] = d[:, unit] * gamma[unit] / variance.sqrt()
            row["gradient_squared"] += float(step @ step)
            row["output_gradient_squared"] += float(slope @ slope)
            row["scaled_squared"] += scale * float(slope @ slope)
            row["mean_term"] += scale * float(slope.sum()) ** 2 / m
            row["projection_term"] += scale * projection**2 / m
            term = gamma[unit] / (m * variance) * projection * (step @ step)
            row["curvature_term"] += float(term)
        scaled = _derivatives(of_output, z, direction)[1]
        right = row["scaled_squared"] - row["mean_term"] - row["projection_term"]
        row |= {"scale": float(np.mean(scales)), "curvature": curvature, "scaled_curvature": scaled}
        row["gap_41"] = abs(row["gradient_squared"] - right) / row["gradient_squared"]
        apart = abs(curvature - scaled + row["curvature_term"])
        row["gap_42"] = apart / (abs(scaled) + abs(row["curvature_term"]))
        for key, value in row.items():
            rows.setdefault(key, []).append(value)
    return rows
