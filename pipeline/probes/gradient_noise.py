"""How much of a gradient is the batch's: two batches, the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from pipeline.catalog.option_types import AtLeastOne
from pipeline.probes._layers import parameters_by_layer, select_layers
from pipeline.probes._vectors import cosine, flat, norm, safe_divide
from pipeline.probes._view import Records, View


def gradient_noise(
    view: View,
    *,
    parameters: Literal["weights", "all"] = "weights",
    layers: Sequence[AtLeastOne] | None = None,
) -> Records:
    """How far the gradients of two independent batches of one size lie apart, at the same weights.

    With g_B = ∇L(θ_t) on the batch B (the step's own by default) and g_B′ that on a batch B′ of as
    many training samples, drawn anew, records of every weight layer, and of the network as a whole
    (its row has index 0),

        ‖g_B‖₂,   ‖g_B − g_B′‖₂,   ‖g_B − g_B′‖₂ / ‖g_B‖₂,   cos(g_B, g_B′).

    Both kinds of rows are of weights alone: γ, β and biases are left out, of the network's row too,
    unless ``parameters`` is ``all``.

    It is the floor of `gradient_ics`: a shift below it is less than what another batch would have
    made of the same layer. Both batches see the same noise of a noisy normalizer, and B′ is
    augmented as B is. For a batch of independent samples, E‖g_B − g_B′‖² = 2·tr Cov(g) / |B|.

    Cost: 1 gradient (the step has computed the other).

    Args:
        view: the step.
        parameters: of a layer, its weight alone or all that belongs to it, as in `gradient_ics`.
        layers: which weight layers, from 1 on, beside the whole network; null for all.

    Raises:
        ValueError: if a layer is named that the network has not.

    Source: McCandlish et al., arXiv 1812.06162, 2018 (the noise scale of gradients).
    """
    every = parameters_by_layer(view.network)
    wanted = select_layers(every, layers, "gradient_noise")
    names = [layer.weight if parameters == "weights" else layer.all for layer in every]
    _, other = view.value_and_gradient(view.before, view.sample_batch(len(view.batch.targets)))
    rows = [tuple(name for own in names for name in own), *(names[i - 1] for i, _ in wanted)]
    pairs = [(flat([view.grad[n] for n in row]), flat([other[n] for n in row])) for row in rows]
    size = torch.stack([norm(a) for a, _ in pairs])
    apart = torch.stack([norm(a - b) for a, b in pairs])
    return {
        "layer": ["network", *(layer.name for _, layer in wanted)],
        "index": [0, *(index for index, _ in wanted)],
        "layers": [len(every)] * len(rows),
        "gradient_norm": size,
        "l2": apart,
        "relative": safe_divide(apart, size),
        "cosine": torch.stack([cosine(a, b) for a, b in pairs]),
    }
