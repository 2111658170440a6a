"""Reparametrized weights: the features are left alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pipeline.normalizers import Normalizer, Traits, without_data
from pipeline.normalizers._ops.common import reparametrized, within
from pipeline.normalizers._ops.moments import moments_over


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


class CentredWeightNorm(nn.Module):
    """w = g·(v − v̄)/‖v − v̄‖ per output unit."""

    def forward(self, magnitude: Tensor, raw: Tensor) -> Tensor:
        """g (out, 1, ...) and v (out, in, ...) → w (out, in, ...)."""
        centred = _centred(raw)
        return magnitude * centred / _norm(centred)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Choose v = w and g = ‖w − w̄‖, so that the effective weight is w less its mean."""
        return _norm(_centred(weight)), weight


class ScaledStandardization(nn.Module):
    """w = γ·g·(v − mean v)/√max(n·var v, ε) per output unit."""

    def __init__(self, gamma: float, learned_gain: bool, eps: float) -> None:
        super().__init__()
        self.gamma, self.learned_gain, self.eps = gamma, learned_gain, eps

    def forward(self, raw: Tensor, gain: Tensor | None = None) -> Tensor:
        """v (out, in, ...) and g (out, 1, ...), where it is learned → w (out, in, ...)."""
        centred = _centred(raw)
        power = centred.square().sum(_fan_in(raw), keepdim=True)
        weight = self.gamma * centred * torch.rsqrt(power.clamp(min=self.eps))
        return weight if gain is None else gain * weight

    def right_inverse(self, weight: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Choose v = w and g = 1: few weights are standardized, so the raw one is set."""
        if not self.learned_gain:
            return weight
        return weight, weight.new_ones(len(weight), *[1] * (weight.ndim - 1))


def weight_norm(*, from_data: bool = True) -> Normalizer:
    """Weight normalization: the length and the direction of every unit's weights learned apart.

    w = g·v/‖v‖₂ per output unit of convolutions and linear layers, the norm over its fan-in. The
    common initialization is drawn for v, so that directions stay paired between normalizers. With
    ``from_data``, g and the bias are then set layer by layer, once, such that on the probe batch
    every unit's output has mean 0 and variance 1: with t = v·x/‖v‖, g = 1/σ(t) and b = −μ(t)/σ(t)
    over (N) or (N, H, W). Of a layer without bias (``[weight_norm, mean_only]``) g alone is set, of
    a unit with a constant output b alone.

    Its output scales with g, so it is not scale invariant, though it is in v alone.

    Args:
        from_data: set g and b by data, as the source does; without, g = ‖v‖ and b = 0, so that w
            itself is the common initialization.

    Raises:
        ValueError: if another normalizer already acts on the weight.

    Source: Salimans & Kingma, NeurIPS 2016; the initialization: its section 3.
    """
    return Normalizer(
        weight=lambda module: reparametrized(module, WeightNorm()),
        calibrate=_standardize_outputs if from_data else without_data,
    )


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
        weight=lambda module: reparametrized(module, WeightStandardization(eps), fan_in=2),
        traits=Traits(scale_invariant_weights=True),
    )


def centered_weight_norm() -> Normalizer:
    """Centered weight normalization: `weight_norm`, with every unit's mean weight taken off first.

    w = g·(v − v̄)/‖v − v̄‖₂ per output unit of convolutions and linear layers, mean and norm over
    its fan-in. At the start v is the common initialization and g = ‖v − v̄‖, so that w is the drawn
    weight less its mean; the source's g starts at a constant, and its code adds 10⁻³ to the norm.

    Its output scales with g, so it is not scale invariant, though it is in v alone.

    Raises:
        ValueError: if a unit has a single weight; if another normalizer already acts on the weight.

    Source: Huang, Liu, Liu, Lang & Tao, ICCV 2017.
    """
    return Normalizer(weight=lambda module: reparametrized(module, CentredWeightNorm(), fan_in=2))


def scaled_weight_standardization(
    *, gamma: float = 1.7128585504496627, learned_gain: bool = True, eps: float = 1e-4
) -> Normalizer:
    """Scaled weight standardization: weights that keep the variance through a ReLU.

    w = γ·g·(v − μ)/√max(n·σ², ε) per output unit, μ and σ² the mean and the biased variance over
    its fan-in n; γ is fixed and g learned. Inputs that are ReLUs of unit normals give outputs of
    unit variance at γ = √(2/(1 − 1/π)), so no feature normalizer is needed.

    The initialization is drawn for v, and g starts at 1. Of the source's normalizer-free networks
    this is the weights alone: not the scaled residual branches, nor the clipping of gradients. It
    acts on the hidden linear layers as on convolutions.

    Args:
        gamma: γ, above 0. The default is that of ReLU; a linear network needs 1.
        learned_gain: learn g per unit (NF-Nets); without, g = 1 and the weights are scale
            invariant.
        eps: ε, at least 0.

    Raises:
        ValueError: if an option is out of range; if a unit has a single weight; if another
            normalizer already acts on the weight.

    Source: Brock, De & Smith, ICLR 2021; the gain: Brock, De, Smith & Simonyan, ICML 2021.
    """
    if not gamma > 0:
        raise ValueError(f"gamma must be above 0, not {gamma:g}")
    within(0, math.inf, eps=eps)
    return Normalizer(
        weight=lambda module: reparametrized(
            module, ScaledStandardization(gamma, learned_gain, eps), fan_in=2
        ),
        traits=Traits(scale_invariant_weights=not learned_gain),
    )


def _standardize_outputs(network: nn.Module, inputs: Tensor) -> None:
    """Set g and b of all layers in one forward pass: each sees what those before it now give."""
    layers = [module for module in network.modules() if _is_weight_normed(module)]
    handles = [layer.register_forward_hook(_standardize) for layer in layers]
    try:
        network(inputs)
    finally:
        for handle in handles:
            handle.remove()


def _standardize(layer: nn.Module, inputs: tuple[Tensor], outputs: Tensor) -> Tensor:
    """Set a layer's g and b, and return the outputs that it has with them."""
    del inputs
    channels = 1 if isinstance(layer, nn.Conv2d) else outputs.ndim - 1
    axes = tuple(axis for axis in range(outputs.ndim) if axis != channels)
    mean, variance = moments_over(outputs, axes)
    scale = torch.rsqrt(variance.where(variance > 0, 1))
    magnitude = layer.get_parameter("parametrizations.weight.original0")
    magnitude.mul_(scale.view_as(magnitude))
    if layer.bias is None:
        return outputs * scale
    bias = layer.get_parameter("bias")
    bias.copy_((bias - mean.flatten()) * scale.flatten())
    return (outputs - mean) * scale


def _is_weight_normed(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module, "weight") and isinstance(
        module.get_submodule("parametrizations.weight.0"), WeightNorm
    )


def _fan_in(weight: Tensor) -> tuple[int, ...]:
    return tuple(range(1, weight.ndim))


def _norm(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=_fan_in(weight), keepdim=True)


def _centred(weight: Tensor) -> Tensor:
    return weight - weight.mean(_fan_in(weight), keepdim=True)
