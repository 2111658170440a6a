"""Reparametrized weights: the features are left alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._common import within


class WeightNorm(nn.Module):
    """w = g·v/‖v‖ per output unit.

    Written out, since torch's own has no forward-mode derivative and so no cheap Hessian products.
    """

    def forward(self, magnitude: Tensor, direction: Tensor) -> Tensor:
        """g (out, 1, ...) and v (out, in, ...) → w (out, in, ...)."""
        return magnitude * direction / _norm(direction)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Choose g = ‖w‖ and v = w, so that the effective weight is w."""
        return _norm(weight), weight


class WeightStandardization(nn.Module):
    """w = (v − mean v)/√(var v + ε) per output unit."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, raw: Tensor) -> Tensor:
        """v (out, in, ...) → w of the same shape."""
        variance, mean = torch.var_mean(raw, _fan_in(raw), correction=0, keepdim=True)
        return (raw - mean) * torch.rsqrt(variance + self.eps)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Choose v = w: few weights are standardized, so the raw one is set."""
        return weight


def weight() -> Normalizer:
    """Weight normalization: the length and the direction of every unit's weights learned apart.

    w = g·v/‖v‖₂ per output unit of convolutions and linear layers, the norm over its fan-in. At the
    start g = ‖v‖, so that w is the common initialization and networks stay paired; the source's
    data-dependent initialization of g and the bias is not done.

    Its output scales with g, so it is not scale invariant, though it is in v alone.

    Raises:
        ValueError: if another normalizer already acts on the weight.

    Source: Salimans & Kingma, NeurIPS 2016.
    """
    return Normalizer(weight=lambda module: _reparametrized(module, WeightNorm()))


def weight_standardization(*, eps: float = 1e-5) -> Normalizer:
    """Weight standardization: every unit's weights given zero mean and unit variance.

    w = (v − μ)/√(σ² + ε) per output unit, μ and σ² the mean and the biased variance over its
    fan-in. Here it acts on the hidden linear layers as on convolutions; the source has convolutions
    only. Outputs grow by about √fan-in, so a feature normalizer goes with it:
    ``[weight_standardization, group]``.

    The initialization is drawn for v.

    Args:
        eps: ε, at least 0, under the root as the source prints it; its code adds ε to the unbiased
            standard deviation.

    Raises:
        ValueError: if ε is negative; if a unit has a single weight; if another normalizer already
            acts on the weight.

    Source: Qiao, Wang, Liu, Shen & Yuille, 2019.
    """
    within(0, math.inf, eps=eps)
    return Normalizer(
        weight=lambda module: _reparametrized(module, WeightStandardization(eps), fan_in=2),
        traits=Traits(scale_invariant_weights=True),
    )


def _reparametrized(module: nn.Module, function: nn.Module, *, fan_in: int = 1) -> nn.Module:
    """Put the function before the weight, which must have at least ``fan_in`` entries a unit."""
    if parametrize.is_parametrized(module, "weight"):
        raise ValueError("at most one normalizer of a composition may act on the weights")
    shape = tuple(module.get_parameter("weight").shape)
    if math.prod(shape[1:]) < fan_in:
        raise ValueError(
            f"a weight normalizer needs at least {fan_in} weights a unit, but a layer's are of "
            f"shape {shape}: take larger kernels or more channels"
        )
    parametrize.register_parametrization(module, "weight", function)
    return module


def _fan_in(weight: Tensor) -> tuple[int, ...]:
    return tuple(range(1, weight.ndim))


def _norm(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=_fan_in(weight), keepdim=True)
