"""Internal covariate shift as the change of a layer's gradient (Definition 2.1)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pipeline.measure import (
    LayerParameters,
    Params,
    Records,
    View,
    cosine,
    flat,
    leaves,
    norm,
    parameters_by_layer,
    ratio,
    run_stages,
)
from pipeline.objective import objective


def gradient_ics(view: View, *, parameters: Literal["weights", "all"] = "weights") -> Records:
    """How much a layer's gradient moves when the layers before it take their step.

    For weight layer i of k, on the step's own batch and in training mode,

        G_i  = ∇_{W_i} L(θ_1ᵗ, …, θ_kᵗ)
        G'_i = ∇_{W_i} L(θ_1ᵗ⁺¹, …, θ_{i−1}ᵗ⁺¹, θ_iᵗ, …, θ_kᵗ)

    where θ_j is all that belongs to layer j (weight, bias, and the normalizer's parameters up to
    the next weight layer), so the prefix is the one that training really produces. Records ‖G_i‖₂,
    ‖G_i − G'_i‖₂, their ratio, cos(G_i, G'_i), and ‖G_i − G'_i‖₂ / ‖Δθ_{<i}‖₂. Layer 1 has nothing
    before it: its shift is 0 by definition, and is not computed.

    Cost: one forward through the updated stages, and for each layer one forward and one backward
    through the stages from its own on: about (k + 1)/2 gradients instead of k.

    Args:
        view: the step.
        parameters: what W_i is. ``weights``: the weight alone, as the definition writes it (all
            parts of a reparametrized weight); ``all``: everything in θ_i.

    Source: Santurkar, Tsipras, Ilyas, Madry, NeurIPS 2018, Definition 2.1.
    """
    layers = parameters_by_layer(view.network)
    measured = [layer.weight if parameters == "weights" else layer.all for layer in layers]
    old = [flat([view.grad[name] for name in names]) for names in measured]
    new = [old[0], *_gradients_after_prefix(view, layers, measured)]
    moved = torch.stack([_squared_move(view, layer.all) for layer in layers])
    before_layer = torch.cat([moved.new_zeros(1), moved.cumsum(0)[:-1]]).sqrt()
    size = torch.stack([norm(gradient) for gradient in old])
    shift = torch.stack([norm(a - b) for a, b in zip(old, new, strict=True)])
    return {
        "layer": [layer.name for layer in layers],
        "index": range(1, len(layers) + 1),
        "layers": [len(layers)] * len(layers),
        "gradient_norm": size,
        "l2": shift,
        "relative": ratio(shift, size),
        "cosine": torch.stack([cosine(a, b) for a, b in zip(old, new, strict=True)]),
        "per_update": ratio(shift, before_layer),
    }


def _gradients_after_prefix(
    view: View, layers: list[LayerParameters], measured: list[tuple[str, ...]]
) -> list[Tensor]:
    """G'_i for the layers after the first; the updated prefix is run once, stage by stage."""
    params = dict(view.before)
    params.update({name: view.after[name] for name in layers[0].all})
    inputs, at_stage = view.batch.inputs, 0
    gradients = []
    for layer, names in zip(layers[1:], measured[1:], strict=True):
        with torch.no_grad():
            inputs = run_stages(view.network, params, inputs, range(at_stage, layer.stage))
        at_stage = layer.stage
        gradients.append(_suffix_gradient(view, params, names, inputs, at_stage))
        params.update({name: view.after[name] for name in layer.all})
    return gradients


def _suffix_gradient(
    view: View, params: Params, names: tuple[str, ...], inputs: Tensor, stage: int
) -> Tensor:
    """∇ of the loss with respect to the named parameters, from the input of ``stage`` on."""
    wanted = leaves({name: params[name] for name in names})
    stages = range(stage, len(view.network))
    outputs = run_stages(view.network, {**params, **wanted}, inputs, stages)
    loss = objective(view.network.task, outputs, view.batch.targets)
    return flat(torch.autograd.grad(loss, list(wanted.values()), materialize_grads=True))


def _squared_move(view: View, names: tuple[str, ...]) -> Tensor:
    return norm(flat([view.after[name] - view.before[name] for name in names])).square()
