"""Ways to train without a normalizer: initializations, scalars and bounded functions."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import Affine, require_features

WeightLayer = nn.Conv2d | nn.Linear


class Multiplier(nn.Module):
    """α·x, with one learned scalar α."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.multiplier = nn.Parameter(torch.tensor(start))

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return self.multiplier * inputs


class DynamicTanh(nn.Module):
    """tanh(α·x), with one learned scalar α."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        return torch.tanh(self.alpha * inputs)


def fixup() -> Normalizer:
    """Fixup: residual branches that start at zero, their inner weights scaled by depth.

    Of a network with L residual branches, after the common initialization: the last layer of each
    branch and the output layer are set to 0; the other m − 1 weights of a branch are multiplied by
    L^(−1/(2m − 2)); and a learned scalar (from 1) multiplies the end of each branch. Weights keep
    their common draw, which the source takes from He (``init: he``). Its scalar biases before
    convolutions and activations are not added: every convolution has a bias per channel here, which
    does what they do, but for the borders of padded maps.

    It suits residual networks. With the output layer at 0, every other gradient is 0 at step 0.

    Raises:
        ValueError: from ``initialize``, if the network has no residual branch (VGG, DenseNet, deep
            linear), or has weight normalizers.

    Source: Zhang, Dauphin & Ma, ICLR 2019.
    """
    return Normalizer(residual=lambda: Multiplier(1.0), initialize=_initialize_fixup)


def skipinit(*, alpha: float = 0.0) -> Normalizer:
    """SkipInit: a learned scalar at the end of every residual branch, from 0.

    x + α·F(x), one α a branch; convolutions keep their biases, and weights the common
    initialization. It goes with other normalizers: NF-Nets have it behind
    `scaled_weight_standardization`. ReZero (Bachlechner et al. 2020) is the same scalar, found at
    the same time for other networks: on these there is one name for both.

    It suits residual networks.

    Args:
        alpha: where α starts.

    Raises:
        ValueError: from ``initialize``, if the network has no residual branch (VGG, DenseNet, deep
            linear).

    Source: De & Smith, NeurIPS 2020.
    """

    def initialize(network: nn.Module) -> None:
        _branches("skipinit", network)

    return Normalizer(residual=lambda: Multiplier(alpha), initialize=initialize)


def selu() -> Normalizer:
    """SELU: an activation under which activations tend to zero mean and unit variance.

    The activation is λ·x above 0 and λ·α·(eˣ − 1) below, λ = 1.0507, α = 1.6733. Each layer's
    weights, the output layer's too, are the common draw rescaled to a mean square of 1/fan-in
    exactly: LeCun's normal initialization with ``init: he``, and its uniform form with
    ``init: glorot``. The source's dropout is not done.

    It suits VGG, DenseNet and residual networks; its fixed point does not account for the additions
    of the latter.

    Raises:
        ValueError: from ``initialize``, if the network has weight normalizers.

    Source: Klambauer, Unterthiner, Mayr & Hochreiter, NeurIPS 2017.
    """
    return Normalizer(activation=lambda channels: nn.SELU(), initialize=_initialize_selu)


def dynamic_tanh(*, alpha: float = 0.5) -> Normalizer:
    """Dynamic tanh (DyT): a learned squashing in place of layer normalization.

    y = γ·tanh(α·x) + β, with one scalar α a layer, γ (from 1) and β (from 0) per channel. It takes
    no statistics. The source replaces the layer normalization of transformers; in convolutional
    networks, before the ReLU, it falls behind batch normalization by the source's own account. At
    α = 1/2 it halves small signals, layer by layer.

    Args:
        alpha: where α starts, above 0.

    Raises:
        ValueError: if it does not.

    Cost: no native kernel: some ten operations a step, each a pass over the features.

    Source: Zhu, Chen, He, LeCun & Liu, CVPR 2025.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, not {alpha:g}")
    return Normalizer(
        features=lambda channels: nn.Sequential(DynamicTanh(alpha), Affine(channels)),
        traits=Traits(bias_free=True),
    )


@torch.no_grad()
def _initialize_fixup(network: nn.Module) -> None:
    output = _plain_layers("fixup", network)[-1]
    branches = _branches("fixup", network)
    for *inner, last in branches:
        for layer in inner:
            layer.weight *= len(branches) ** (-0.5 / len(inner))
        last.weight.zero_()
    output.weight.zero_()


@torch.no_grad()
def _initialize_selu(network: nn.Module) -> None:
    for layer in _plain_layers("selu", network):
        direction = normalize(layer.weight.flatten(), dim=0).view_as(layer.weight)
        layer.weight.copy_(math.sqrt(len(layer.weight)) * direction)


def _branches(name: str, network: nn.Module) -> list[list[WeightLayer]]:
    """Weight layers of every residual branch, which is what a `Multiplier` ends."""
    parents = [m for m in network.modules() if any(isinstance(c, Multiplier) for c in m.children())]
    if not parents:
        raise ValueError(
            f"{name} does not suit this network: it acts on residual branches, and there is none; "
            "take a residual network (resnet20, ...)"
        )
    branches = [_weight_layers(parent) for parent in parents]
    if not all(branches):
        raise ValueError("at most one normalizer of a composition may act on residual branches")
    return branches


def _weight_layers(module: nn.Module) -> list[WeightLayer]:
    return [cast(WeightLayer, m) for m in module.modules() if isinstance(m, WeightLayer)]


def _plain_layers(name: str, network: nn.Module) -> list[WeightLayer]:
    """All weight layers, none of which may be reparametrized."""
    layers = _weight_layers(network)
    if any(parametrize.is_parametrized(layer, "weight") for layer in layers):
        raise ValueError(
            f"{name} sets the scale of weights, and so does a weight normalizer: take one of them"
        )
    return layers
