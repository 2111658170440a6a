"""A network's parameters as what a probe computes with: by name, or one long vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

Params = dict[str, Tensor]
"""Parameters by their name in the network, in the network's order."""


def parameters(network: nn.Module) -> Params:
    """Detached copies of the parameters, by name."""
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def buffers(network: nn.Module) -> Params:
    """Detached copies of the buffers, by name."""
    return {name: buffer.detach().clone() for name, buffer in network.named_buffers()}


def as_leaves(params: Params) -> Params:
    """The same values as fresh leaves that require a gradient."""
    return {name: tensor.detach().requires_grad_() for name, tensor in params.items()}


def flat(tensors: Mapping[str, Tensor] | Sequence[Tensor]) -> Tensor:
    """All entries in one vector, in the given order."""
    values = tensors.values() if isinstance(tensors, Mapping) else tensors
    return torch.cat([tensor.reshape(-1) for tensor in values])


def norm(values: Tensor) -> Tensor:
    """‖x‖₂, summed in float64: a float32 sum of 10⁷ squares can be a percent off on a CPU."""
    return torch.linalg.vector_norm(values, dtype=torch.float64)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between two vectors, summed in float64; NaN where one of them is 0."""
    return (a / norm(a) * (b / norm(b))).sum(dtype=torch.float64).clamp(-1, 1)


def safe_divide(value: Tensor, unit: Tensor) -> Tensor:
    """value / unit, NaN where the unit is 0: there is nothing to measure in."""
    return value / unit.masked_fill(unit == 0, torch.nan)
