"""Sizes of weights, gradients and curvature that the scale of the weights does not change."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.catalog.option_types import AtLeastOne, Positive
from pipeline.probes._hessian import hessian_of
from pipeline.probes._lanczos import LARGEST, lanczos, start_vector
from pipeline.probes._layers import LayerParameters, parameters_by_layer
from pipeline.probes._vectors import flat, norm, safe_divide
from pipeline.probes._view import Records, View


def scale_invariant(
    view: View, *, blocks: int = 3, tolerance: Positive = 1e-2, products: AtLeastOne = 20
) -> Records:
    """What remains of gradient, curvature and update when w → c·w leaves the network unchanged.

    Behind a normalizer that undoes the scale of w (ε = 0), w → c·w turns the gradient g into g/c
    and the Hessian H into H/c²: raw values of two networks cannot be compared. Per weight layer,
    w being its weight (all parts of a reparametrized one), λ the largest eigenvalue of the block of
    H in w at θ_t on the batch, η the learning rate, records

        weight_norm ‖w‖             gradient_norm ‖g_w‖       weight_times_gradient ‖w‖·‖g_w‖
        block_lambda λ              block_lambda_residual ‖H_ww·u − λ·u‖ / |λ|
        weight_squared_times_lambda ‖w‖²·λ
        angular_update              the angle between w at t and at t + 1, in radians
        effective_lr                η/‖w‖²: what η does to the direction of w in plain gradient
                                    descent; under any optimizer, see angular_update
        eta_lambda_max, eta_beta    η times the whole network's λ_max and effective β, repeated on
                                    all rows; null unless `curvature` (of all parameters) and
                                    `landscape` are due at this step, in the same mode and batch

    The products, the angle, η·λ_max and η·β are the scale-free ones; η·λ and η·β, if η goes with
    c², as effective_lr says. Where blocks are not asked for, and for a normalizer whose backward
    is not the gradient of its forward, λ is null.

    Cost: vectors only, and for each block about 5 to 15 products of about 1 gradient, after the
    graph of the gradient, which is shared with the step's other probes.

    Args:
        view: the step.
        blocks: in how many layers λ is computed, spread evenly from the first to the last.
        tolerance: relative residual at which λ is done; what was reached is recorded.
        products: most products a block.

    Raises:
        ValueError: if blocks is negative.

    Source: van Laarhoven (2017); Hoffer et al., NeurIPS 2018; Arora, Li & Lyu, ICLR 2019.
    """
    if blocks < 0:
        raise ValueError(f"scale_invariant.blocks must be at least 0, not {blocks}")
    layers = parameters_by_layer(view.network)
    rows = [_sizes(view, layer) for layer in layers]
    wanted = _spread(len(layers), blocks) if view.traits.true_gradient else set[int]()
    nothing = rows[0]["weight_norm"].new_full((2,), torch.nan)
    found = [
        _block(view, layer, tolerance, products) if place in wanted else nothing
        for place, layer in enumerate(layers)
    ]
    for row, (value, residual) in zip(rows, found, strict=True):
        row["block_lambda"], row["block_lambda_residual"] = value, residual
        row["weight_squared_times_lambda"] = row["weight_norm"].square() * value
        row["eta_lambda_max"] = view.lr * view.shared.get("lambda_max", nothing[0])
        row["eta_beta"] = view.lr * view.shared.get("effective_beta", nothing[0])
    return {
        "layer": [layer.name for layer in layers],
        "index": range(1, len(layers) + 1),
        "layers": [len(layers)] * len(layers),
        **{name: torch.stack([row[name] for row in rows]) for name in rows[0]},
    }


def _sizes(view: View, layer: LayerParameters) -> dict[str, Tensor]:
    """What needs no curvature, in float64."""
    weight, after, gradient = (
        flat([values[name] for name in layer.weight]).double()
        for values in (view.before, view.after, view.grad)
    )
    size, slope = norm(weight), norm(gradient)
    unit = safe_divide(weight, size)
    along = unit @ after
    # Not the arc cosine, which is 0 in float32 and coarse in float64 for the angle of a small step.
    angle = torch.atan2(norm(after - along * unit), along)
    return {
        "weight_norm": size,
        "gradient_norm": slope,
        "weight_times_gradient": size * slope,
        "angular_update": angle,
        "effective_lr": safe_divide(torch.full_like(size, view.lr), size.square()),
    }


def _block(view: View, layer: LayerParameters, tolerance: float, products: int) -> Tensor:
    """λ and its residual (2) of the layer's block, from its gradient and the last step's vector."""
    product = hessian_of(view).block(layer.weight, layer.weight)
    gradient = flat([view.grad[name] for name in layer.weight])
    start = start_vector(gradient, view.memory.get(layer.name), view.rng)
    found = lanczos(product, start, tolerance=tolerance, products=products)
    view.memory[layer.name] = found.vectors[:1]
    return torch.stack([found.values[LARGEST], found.residuals[LARGEST]])


def _spread(count: int, wanted: int) -> set[int]:
    """So many of 0 … count − 1, evenly from the first to the last."""
    wanted = min(wanted, count)
    return {round(place * (count - 1) / max(1, wanted - 1)) for place in range(wanted)}
