"""Internal covariate shift as the change of a layer's gradient (Definition 2.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline.catalog.option_types import AtLeastOne
from pipeline.probes._layers import LayerParameters, parameters_by_layer, select_layers
from pipeline.probes._vectors import Params, as_leaves, cosine, flat, norm, safe_divide
from pipeline.probes._view import Records, View


def gradient_ics(
    view: View,
    *,
    parameters: Literal["weights", "all"] = "weights",
    layers: Sequence[AtLeastOne] | None = None,
) -> Records:
    """How much a layer's gradient moves when the layers before it take their step.

    For weight layer i of k, on one batch (the step's own by default),

        G_i  = ∇_{W_i} L(θ_1ᵗ, …, θ_kᵗ)
        G'_i = ∇_{W_i} L(θ_1ᵗ⁺¹, …, θ_{i−1}ᵗ⁺¹, θ_iᵗ, …, θ_kᵗ)

    where θ_j is all that belongs to layer j (weight, bias, and the normalizer's parameters up to
    the next weight layer), so the prefix is the one that training really produces. Records ‖G_i‖₂,
    ‖G_i − G'_i‖₂, their ratio, cos(G_i, G'_i), and ‖G_i − G'_i‖₂ / ‖Δθ_{<i}‖₂. Layer 1 has nothing
    before it: its shift is 0 by definition, and is not computed.

    Cost: one forward through the updated stages, and for each layer one forward and one backward
    through the stages from its own on: about (k + 1)/2 gradients instead of k. Layers that are not
    asked for cost their forward alone.

    Args:
        view: the step.
        parameters: what W_i is. ``weights``: the weight alone, as the definition writes it (all
            parts of a reparametrized weight); ``all``: everything in θ_i.
        layers: which weight layers, from 1 on; null for all.

    Raises:
        ValueError: if a layer is named that the network has not.

    Source: Santurkar, Tsipras, Ilyas, Madry, NeurIPS 2018, Definition 2.1.
    """
    every = parameters_by_layer(view.network)
    wanted = dict(select_layers(every, layers, "gradient_ics"))
    measured = {i: of.weight if parameters == "weights" else of.all for i, of in wanted.items()}
    old = {i: flat([view.grad[name] for name in names]) for i, names in measured.items()}
    new = _gradients_after_prefix(view, every, measured)
    if 1 in old:
        new[1] = old[1]
    moved = torch.stack([_squared_move(view, layer.all) for layer in every]).cumsum(0).sqrt()
    before_layer = torch.stack([moved[i - 2] if i > 1 else moved.new_zeros(()) for i in wanted])
    size = torch.stack([norm(gradient) for gradient in old.values()])
    shift = torch.stack([norm(old[i] - new[i]) for i in wanted])
    return {
        "layer": [layer.name for layer in wanted.values()],
        "index": list(wanted),
        "layers": [len(every)] * len(wanted),
        "gradient_norm": size,
        "l2": shift,
        "relative": safe_divide(shift, size),
        "cosine": torch.stack([cosine(old[i], new[i]) for i in wanted]),
        "per_update": safe_divide(shift, before_layer),
    }


def _gradients_after_prefix(
    view: View, layers: list[LayerParameters], measured: Mapping[int, tuple[str, ...]]
) -> dict[int, Tensor]:
    """G'_i of the measured layers after the first; the updated prefix runs once, stage by stage."""
    params = dict(view.before)
    inputs, at_stage = view.batch.inputs, 0
    gradients = {}
    for index, layer in enumerate(layers, 1):
        if index > 1 and index in measured:
            with torch.no_grad():
                inputs = view.network.run_stages(params, inputs, range(at_stage, layer.stage))
            at_stage = layer.stage
            gradients[index] = _suffix_gradient(view, params, measured[index], inputs, at_stage)
        params.update({name: view.after[name] for name in layer.all})
    return gradients


def _suffix_gradient(
    view: View, params: Params, names: tuple[str, ...], inputs: Tensor, stage: int
) -> Tensor:
    """∇ of the loss with respect to the named parameters, from the input of ``stage`` on."""
    wanted = as_leaves({name: params[name] for name in names})
    stages = range(stage, len(view.network))
    outputs = view.network.run_stages({**params, **wanted}, inputs, stages)
    loss = view.network.objective(outputs, view.batch.targets)
    return flat(torch.autograd.grad(loss, list(wanted.values()), materialize_grads=True))


def _squared_move(view: View, names: tuple[str, ...]) -> Tensor:
    return norm(flat([view.after[name] - view.before[name] for name in names])).square()
