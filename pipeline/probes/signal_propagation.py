"""What a batch and its gradient look like layer by layer: spread, rank, likeness of samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.catalog.option_types import AtLeastOne
from pipeline.probes._activations import by_unit, columns_of, places_of, watched
from pipeline.probes._vectors import norm, safe_divide
from pipeline.probes._view import Records, View


def signal_propagation(view: View, *, layers: Sequence[AtLeastOne] | None = None) -> Records:
    """How signal and gradient fare by depth: variance, stable rank, cosine of samples, gradient.

    On one batch (the step's own by default) at θ_t, with A the pre-activations of an activation
    layer as a matrix, a row of C·H·W entries a sample, records

        variance        mean over units of the population variance over (N, H, W)
        stable rank     ‖A‖_F² / ‖A‖₂², from 1 (all samples alike, up to a factor) to min(N, C·H·W)
        sample cosine   mean over the pairs of distinct samples of the cosine between their rows
        gradient norm   ‖∂L/∂A‖_F

    A is not centred: a mean that all samples share is a rank lost. Samples whose row is 0 have no
    direction; then the cosine is null, as it is for a batch of one sample.

    Cost: a forward and a backward that leaves the weights out (less than 1 gradient), and for each
    layer the product of A with itself, N²·C·H·W (or N·(C·H·W)², where that is less).

    Args:
        view: the step.
        layers: which activation layers, from 1 on; null for all.

    Raises:
        ValueError: if a layer is named that the network has not, or it has no activation.

    Source: Daneshmand, Kohler, Bach, Hofmann & Lucchi, NeurIPS 2020 (rank and orthogonality of
    batch-normalized representations); Rudelson & Vershynin, J. ACM 2007 (the stable rank).
    """
    chosen = places_of(view.network, ("activation",), layers, "signal_propagation")
    inputs = view.batch.inputs.detach().requires_grad_()  # puts every activation into the graph
    with watched(chosen, lambda values: values) as activations:
        loss = view.loss(view.before, view.batch._replace(inputs=inputs))
    gradients = torch.autograd.grad(loss, activations, materialize_grads=True)
    found = [values.detach() for values in activations]
    place = columns_of(chosen)
    return {
        **{key: place[key] for key in ("layer", "index", "layers")},
        "variance": torch.stack([by_unit(a).var(0, correction=0).mean() for a in found]),
        "stable_rank": torch.stack([_stable_rank(a.flatten(1)) for a in found]),
        "sample_cosine": torch.stack([_sample_cosine(a.flatten(1)) for a in found]),
        "gradient_norm": torch.stack([norm(gradient) for gradient in gradients]),
    }


def _stable_rank(matrix: Tensor) -> Tensor:
    """‖A‖_F² / ‖A‖₂², by the eigenvalues of the smaller of AAᵀ and AᵀA; NaN if A is 0 or is NaN."""
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = (matrix @ matrix.T if wide else matrix.T @ matrix).double()
    largest = torch.linalg.eigvalsh(gram.masked_fill(~gram.isfinite(), 0))[-1]
    return safe_divide(gram.trace(), largest)


def _sample_cosine(matrix: Tensor) -> Tensor:
    """Of all ordered pairs but those with themselves: (‖Σ a_i/‖a_i‖‖² − N) / (N(N − 1))."""
    count = len(matrix)
    size = torch.linalg.vector_norm(matrix, dim=1, keepdim=True, dtype=torch.float64)
    total = (matrix / size).sum(0).square().sum()
    return (total - count) / (count * (count - 1) or torch.nan)
