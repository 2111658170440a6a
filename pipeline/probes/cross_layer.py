"""How much of the Hessian's action on a layer comes from the layers before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.probes._hessian import hessian_of, hessian_times_gradient
from pipeline.probes._layers import LayerParameters, parameters_by_layer, select_layers
from pipeline.probes._vectors import flat, norm, safe_divide
from pipeline.probes._view import Records, View


def cross_layer(view: View, *, layers: Sequence[int] | None = None) -> Records:
    """The share of internal covariate shift in the change of a layer's gradient, to first order.

    A plain gradient step of length η changes the gradient of layer i's weight by −η·(H·g)_i, of
    which −η·H_{i,<i}·g_{<i} comes from the steps of the layers before it: that is gradient ICS
    (`gradient_ics`) to first order in η, while effective β (`landscape`) sees the whole. So with g
    and H the gradient and Hessian of the loss in all parameters at θ_t, records

        lower   ‖H_{i,<i}·g_{<i}‖₂        whole   ‖(H·g)_i‖₂        share   lower / whole

    Row i is layer i's weight alone (all parts of a reparametrized one); < i is all that belongs to
    the layers before it: weights, biases and normalizers. Layer 1 has nothing before it: lower is
    0. A share above 1 says that the other layers' steps, and the layer's own, undo some of it.
    Units of lower and whole: loss times parameter⁻³. For a normalizer whose backward is not the
    gradient of its forward all is null.

    Cost: the graph of the gradient and one Hessian-vector product for ``whole`` (both shared with
    the step's other probes), and for each layer one product that leaves out what no path from the
    layers before needs: about 1.3 gradients.

    Args:
        view: the step.
        layers: which weight layers, counted from 1; null for all.

    Raises:
        ValueError: if there is no such layer.

    Source: first-order form of Santurkar et al., NeurIPS 2018, Definition 2.1.
    """
    owned = parameters_by_layer(view.network)
    rows = select_layers(owned, layers, "cross_layer")
    if view.traits.true_gradient:
        lower = torch.stack([_from_before(view, owned[: i - 1], layer) for i, layer in rows])
        sizes = [tensor.numel() for tensor in view.before.values()]
        parts = dict(zip(view.before, hessian_times_gradient(view).split(sizes), strict=True))
        whole = torch.stack([norm(flat([parts[n] for n in layer.weight])) for _, layer in rows])
    else:
        lower = whole = torch.full((len(rows),), torch.nan)
    return {
        "layer": [layer.name for _, layer in rows],
        "index": [i for i, _ in rows],
        "layers": [len(owned)] * len(rows),
        "lower": lower,
        "whole": whole,
        "share": safe_divide(lower, whole),
    }


def _from_before(view: View, before: list[LayerParameters], layer: LayerParameters) -> Tensor:
    """‖H_{i,<i}·g_{<i}‖."""
    names = [name for earlier in before for name in earlier.all]
    if not names:
        return view.loss_value.new_zeros((), dtype=torch.float64)
    return norm(hessian_of(view).block(layer.weight, names)(flat([view.grad[n] for n in names])))
