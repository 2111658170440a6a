"""Responses set in relation to those of neighbours: none of these is scale invariant."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.normalizers import Normalizer, Traits
from pipeline.normalizers._ops.common import channelwise, require_features, with_affine, within
from pipeline.normalizers._ops.moments import mean_over, mean_square


class LocalResponse(nn.Module):
    """Divide by a power of the energy in neighbouring channels; see `local_response`."""

    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        energy = _NeighbourSum.apply(inputs.square(), self.size)
        return inputs * _Power.apply(self.k + self.alpha * energy, -self.beta)


class Divisive(nn.Module):
    """Centre and divide by what lies in a window around each position; see `divisive`."""

    def __init__(self, window: int, sigma: float) -> None:
        super().__init__()
        self.window, self.sigma = window, sigma

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        centred = inputs + -self._local(mean_over(inputs, (1,)))
        return centred * torch.rsqrt(self.sigma**2 + self._local(mean_square(centred, (1,))))

    def _local(self, mean: Tensor) -> Tensor:
        """Mean of means over the channels in the window, as far as it lies within the map."""
        if mean.ndim == 2:
            return mean
        half = self.window // 2
        return functional.avg_pool2d(mean, self.window, 1, half, count_include_pad=False)


class GlobalResponse(nn.Module):
    """Weigh each map by its norm among those of its sample; see `global_response`."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → the same shape."""
        require_features(inputs)
        if inputs.ndim == 2:
            norm = inputs.abs()
        else:
            norm = torch.linalg.vector_norm(inputs, dim=(2, 3), keepdim=True)
        share = norm / (norm.mean(1, keepdim=True) + self.eps)
        gain = 1 + channelwise(self.weight, inputs) * share
        return inputs * gain + channelwise(self.bias, inputs)


def local_response(
    *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Normalizer:
    """Local response normalization: divided by a power of the energy in neighbouring channels.

    y_c = x_c/(k + α·Σ x_j²)^β, the sum over the ``size`` channels j nearest to c (fewer at the
    ends) at the same position. The order of channels matters. α multiplies the *sum*, as the source
    prints it; torch's and Caffe's multiplies the mean, so that their α is ``size`` times this one,
    and their k is 1.

    The source applies it behind the ReLU of some layers; here it stands where normalizers stand,
    before the activation. At unit variance and the source's constants it is close to dividing by
    k^β = 1.68, so a deep plain network's signals fade, layer by layer; ``k: 1`` keeps them.

    Args:
        size: n, odd, at least 1.
        alpha: α, at least 0.
        beta: β, at least 0.
        k: above 0.

    Raises:
        ValueError: if an option is out of range.

    Cost: a power a value, and twice ``size`` passes over the features.

    Source: Krizhevsky, Sutskever & Hinton, NeurIPS 2012, section 3.3.
    """
    _odd(size=size)
    within(0, math.inf, alpha=alpha, beta=beta)
    if not k > 0:
        raise ValueError(f"k must be above 0, not {k:g}")
    return Normalizer(features=lambda channels: LocalResponse(size, alpha, beta, k))


def divisive(*, window: int = 5, sigma: float = 0.5, affine: bool = False) -> Normalizer:
    """Divisive normalization: centred and scaled by what is around, with an offset σ.

    v = x − mean x,  y = v/√(σ² + mean v²), both means over all channels in a square window around
    the position, of which the part outside the map does not count; v² is taken with the mean of its
    own position. On (N, C) there is no space, so that it is `layer` with ε = σ².

    The source has two windows, and its code one size for both, with zeros beyond the border. Its
    penalty ‖v‖₁ is a term of the loss and not done; nor is a learned σ.

    Args:
        window: height and width of the window in pixels, odd, at least 1. The source takes 7, 5 or
            3, falling with the map's size.
        sigma: σ, above 0, in units of the features.
        affine: learn γ (from 1) and β (from 0) per channel; without, γ = 1 and β = 0.

    Raises:
        ValueError: if an option is out of range.

    Cost: no native kernel: some fifteen operations a step, each a pass over the features.

    Source: Ren, Liao, Urtasun, Sinz & Zemel, ICLR 2017 (2016 as a preprint).
    """
    _odd(window=window)
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, not {sigma:g}")

    features = with_affine(lambda channels: Divisive(window, sigma), affine)
    return Normalizer(features=features, traits=Traits(bias_free=affine))


def global_response(*, eps: float = 1e-6) -> Normalizer:
    """Global response normalization: maps compete by their norms within a sample.

    y = γ·x·s + β + x, with s_c = ‖x_c‖₂/(mean over channels of ‖x_c‖₂ + ε) and ‖x_c‖₂ over (H, W)
    of one channel of one sample; on (N, C) it is |x_c|. γ and β start at 0, so a network starts as
    without it. The source has it behind the activation of a block that begins with
    `layer_per_pixel`; the nearest to that here is ``[layer_per_pixel, global_response]``.

    Args:
        eps: ε, at least 0.

    Raises:
        ValueError: if ε is negative.

    Cost: no native kernel: some ten operations a step, each a pass over the features.

    Source: Woo, Debnath, Hu, Chen, Liu, Kweon & Xie (ConvNeXt V2), CVPR 2023.
    """
    within(0, math.inf, eps=eps)
    return Normalizer(
        features=lambda channels: GlobalResponse(channels, eps), traits=Traits(bias_free=True)
    )


class _NeighbourSum(torch.autograd.Function):
    """Σ x_j over the channels j around each: linear and symmetric, so its own backward."""

    @staticmethod
    def forward(inputs: Tensor, size: int) -> Tensor:
        reach, channels = size // 2, inputs.shape[1]
        padded = functional.pad(inputs, (0, 0) * (inputs.ndim - 2) + (reach, reach))
        # Shifted views cost less than torch's average pooling over a fifth axis.
        shifted = [padded.narrow(1, start, channels) for start in range(size)]
        return sum(shifted[1:], shifted[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        del output
        ctx.size = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _NeighbourSum.apply(gradients[0], ctx.size), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return _NeighbourSum.apply(tangents[0], ctx.size)


class _Power(torch.autograd.Function):
    """x^p for x > 0; backward p·x^p/x, where torch's takes another power, the dearest step here."""

    @staticmethod
    def forward(inputs: Tensor, exponent: float) -> Tensor:
        return inputs.pow(exponent)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.exponent = inputs[1]
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        inputs, power = ctx.saved_tensors
        return gradients[0] * power / inputs * ctx.exponent, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        inputs, power = ctx.saved_tensors
        return tangents[0] * power / inputs * ctx.exponent


def _odd(**options: int) -> None:
    for name, value in options.items():
        if value < 1 or value % 2 == 0:
            raise ValueError(f"{name} must be an odd number, at least 1, not {value}")
