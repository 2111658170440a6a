"""What the synthetic runs' probes of curvature, noise, distributions and the like recorded."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

LAYERS = 4


def layers(run: Any) -> dict[str, Any]:
    count = len(run.probed)
    index = np.tile(np.arange(1, LAYERS + 1), count)
    rows: dict[str, Any] = {"step": np.repeat(run.probed, LAYERS)}
    rows |= {"layer": [f"{i - 1}.conv" for i in index], "index": index}
    return rows | {"layers": np.full(len(index), LAYERS)}


def curvature(run: Any) -> dict[str, Any]:
    size = len(run.probed)
    largest = run.scatter(30 * run.truth.smooth, size)
    rows: dict[str, Any] = {"step": run.probed, "lambda_max": largest}
    rows |= {"lambda_max_residual": np.full(size, 1e-4), "lambda_min": -0.1 * largest}
    rows |= {"lambda_min_residual": np.full(size, 1e-4), "converged": np.ones(size)}
    rows |= {"gradient_curvature": largest / 3, "hessian_gradient_norm": largest / 2}
    rows |= {"trace": 20 * largest, "trace_error": largest}
    return rows | {"eta_lambda_max": run.lr * largest, "hvps": np.full(size, 20.0)}


def scale_invariant(run: Any) -> dict[str, Any]:
    rows = layers(run)
    size = len(rows["step"])
    block = run.scatter(10 * run.truth.smooth, size)
    rows |= {"weight_norm": np.full(size, 3.0), "gradient_norm": run.loss[rows["step"]]}
    rows |= {"weight_times_gradient": 3 * run.loss[rows["step"]], "block_lambda": block}
    rows |= {"block_lambda_residual": np.full(size, 1e-4)}
    rows |= {"weight_squared_times_lambda": 9 * block, "angular_update": run.scatter(0.01, size)}
    rows |= {"effective_lr": np.full(size, run.lr / 9), "eta_lambda_max": run.lr * 3 * block}
    return rows | {"eta_beta": run.lr * 2 * block}


def cross_layer(run: Any) -> dict[str, Any]:
    rows = layers(run)
    whole = run.scatter(1.0, len(rows["step"]))
    share = np.where(rows["index"] > 1, 0.4, 0.0)
    return rows | {"lower": share * whole, "whole": whole, "share": share}


def sharpness(run: Any) -> dict[str, Any]:
    kinds = list(itertools.product(("sam", "adaptive", "average"), (0.01, 0.05, 0.1)))
    kind, rho = zip(*kinds, strict=True)
    loss = np.full(len(kinds), run.loss[run.probed[-1]])
    rise = run.scatter(run.truth.smooth, len(kinds)) * np.array(rho)
    rows: dict[str, Any] = {"step": np.full(len(kinds), run.probed[-1]), "kind": kind, "rho": rho}
    return rows | {"loss": loss, "worst_loss": loss + rise, "sharpness": rise}


def descent_lemma(run: Any) -> dict[str, Any]:
    norm = run.loss[run.probed] ** 2
    rows: dict[str, Any] = {"step": run.probed, "predicted": -run.lr * norm}
    realised = run.scatter(-0.9 * run.lr * norm, len(run.probed))
    rows |= {"predicted_first_order": -run.lr * norm, "realised": realised}
    rows |= {"ratio": realised / rows["predicted"], "gradient_curvature": 3.0 + 0 * norm}
    return rows | {"eta_gradient_curvature": run.lr * (3.0 + 0 * norm)}


def gradient_noise(run: Any) -> dict[str, Any]:
    own = layers(run)
    network = {"step": run.probed, "layer": ["network"] * len(run.probed)}
    network |= {"index": 0 * run.probed, "layers": 0 * run.probed + LAYERS}
    rows = {name: [*network[name], *own[name]] for name in network}
    relative = run.scatter(0.7, len(rows["step"]))
    rows |= {"gradient_norm": np.ones(len(relative)), "l2": relative, "relative": relative}
    return rows | {"cosine": 1 - relative / 4}


def distribution_ics(run: Any) -> dict[str, Any]:
    parts = [_distributions(run, place) for place in ("activation", "output")]
    return {name: [*parts[0][name], *parts[1][name]] for name in parts[0]}


def _distributions(run: Any, place: str) -> dict[str, Any]:
    rows = layers(run) | {"place": [place] * (len(run.probed) * LAYERS)}
    shift = run.scatter(0.02 * np.sqrt(run.truth.ics), len(rows["step"]))
    for name, value in (("w1", shift), ("gaussian_w2", 1.1 * shift)):
        rows |= {
            name: value,
            f"{name}_p90": 2 * value,
            f"{name}_floor": run.scatter(0.1, value.shape),
        }
    return rows


def batchnorm_theorems(run: Any) -> dict[str, Any]:
    rows = layers(run)
    size = len(rows["step"])
    return rows | {"gap_41": run.scatter(1e-5, size), "gap_42": run.scatter(1e-4, size)}


def signal_propagation(run: Any) -> dict[str, Any]:
    rows = layers(run)
    size = len(rows["step"])
    rows |= {"variance": run.scatter(1.0, size), "stable_rank": run.scatter(5.0, size)}
    return rows | {"sample_cosine": np.full(size, 0.3), "gradient_norm": np.ones(size)}
