"""Coordinates and random directions that probes of the loss around θ_t share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline.data._transfer import send
from pipeline.probes._layers import parameters_by_layer
from pipeline.probes._view import View


def coordinates(view: View, parameters: Literal["weights", "all"]) -> list[str]:
    """Names of the parameters that move: the layers' weights, or all there are."""
    layers = parameters_by_layer(view.network)
    chosen = [layer.weight if parameters == "weights" else layer.all for layer in layers]
    return [name for names in chosen for name in names]


def filter_normalized(view: View, names: Sequence[str]) -> list[Tensor]:
    """Draw a Gaussian direction, each filter scaled to the norm of the filter at θ_t.

    A filter is what belongs to one output channel or row; a vector is one filter.

    Source: Li, Xu, Taylor, Studer, Goldstein, NeurIPS 2018.
    """
    return [_like_filters(view.before[name], view.rng) for name in names]


def _like_filters(values: Tensor, rng: torch.Generator) -> Tensor:
    noise = send(torch.randn(values.shape, generator=rng, dtype=values.dtype), values.device)
    dims = tuple(range(1, values.dim())) or (0,)
    scale = torch.linalg.vector_norm(values, dim=dims, keepdim=True)
    return noise * scale / torch.linalg.vector_norm(noise, dim=dims, keepdim=True)
