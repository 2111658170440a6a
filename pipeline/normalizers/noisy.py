"""Noise on features that shifts and scales every unit anew at every step."""

from __future__ import annotations

import math

from torch import Tensor, nn

from pipeline.normalizers import Normalizer, Traits, compose
from pipeline.normalizers._ops.common import require_features, within
from pipeline.normalizers._ops.counter_random import uniform, uniform_and_normal
from pipeline.normalizers.batch import batch


class Noise(nn.Module):
    """The noise of `noise`, in training mode; nothing in evaluation mode.

    The draws are float64 and then take the inputs' type, so that runs in float32 and float64, and
    on a CPU and a GPU, see the same noise up to rounding.
    """

    def __init__(
        self, *, shift_range: float, scale_range: float, shift_jitter: float, scale_jitter: float
    ) -> None:
        super().__init__()
        self.shift_range, self.scale_range = shift_range, scale_range
        self.shift_jitter, self.scale_jitter = shift_jitter, scale_jitter
        self.noise_key = 0

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C) or (N, C, H, W) → s·x + m, the noise being a function of ``noise_key`` alone."""
        require_features(inputs)
        if not self.training:
            return inputs
        scale, shift = self._draw(inputs)
        return scale * inputs + shift

    def _draw(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """s and m; of the key's words the first 2·C are of the channels, then one of each entry."""
        channels, dtype = inputs.shape[1], inputs.dtype
        drawn = uniform(self.noise_key, 2 * channels, inputs.device).to(dtype)
        units = drawn.view(2, channels, *[1] * (inputs.ndim - 2))
        mean = self.shift_range * (2 * units[0] - 1)
        std = 1 + self.scale_range * units[1]
        jitter, normal = uniform_and_normal(self.noise_key, inputs, first=2 * channels)
        return std + self.scale_jitter * normal, mean + self.shift_jitter * jitter


def noise(
    *,
    shift_range: float = 0.5,
    scale_range: float = 0.25,
    shift_jitter: float = 0.1,
    scale_jitter: float = 0.1,
) -> Normalizer:
    """Noise alone: every unit is shifted and scaled at random, anew at every step.

    In training a ← s·a + m, where per layer, unit and step

        μ ~ U(−shift_range, shift_range),             σ ~ U(1, 1 + scale_range),

    and, given these, for every sample and position (H and W count as batch) independently

        m ~ U(μ − shift_jitter, μ + shift_jitter),    s ~ N(σ, scale_jitter²).

    All draws are functions of the module's ``noise_key``, which the training loop sets for every
    module and step, and of an index (SplitMix64), the same on every device. Evaluation adds no
    noise; the source does not say, and E[s] is not 1, so that evaluated activations are smaller
    than trained ones by that factor.

    Args:
        shift_range: largest |μ|.
        scale_range: largest σ − 1.
        shift_jitter: half the width of m around μ.
        scale_jitter: standard deviation of s around σ. The source writes N(σ, n_σ) with n_σ = 0.1,
            and not whether that is a deviation or a variance; it is read as a deviation, being
            given beside the widths of the other three. The other reading is 0.3162.

    Raises:
        ValueError: if an option is negative.

    Cost: two random numbers per value, one of them normal, in some thirty elementwise passes.

    Source: Santurkar et al., NeurIPS 2018, section 2.1 and appendix, without the BatchNorm.
    """
    ranges = {"shift_range": shift_range, "scale_range": scale_range}
    jitters = {"shift_jitter": shift_jitter, "scale_jitter": scale_jitter}
    within(0, math.inf, **ranges, **jitters)
    return Normalizer(
        features=lambda channels: Noise(**ranges, **jitters),
        traits=Traits(noise=True, host_state=True),
    )


def noisy_batch(
    *,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = True,
    shift_range: float = 0.5,
    scale_range: float = 0.25,
    shift_jitter: float = 0.1,
    scale_jitter: float = 0.1,
) -> Normalizer:
    """Noisy batch normalization: `batch`, its output shifted and scaled at random at every step.

    y = s·BN(x) + m, with the noise of `noise`. The source perturbs the output of the BatchNorm
    layer, which is read as what the next module sees: γ and β come before the noise. Evaluation
    has no noise, and takes exact means over training batches without noise in place of the running
    averages, which were gathered under it.

    Args:
        eps, momentum, affine: as in `batch`.
        shift_range, scale_range, shift_jitter, scale_jitter: as in `noise`.

    Raises:
        ValueError: as `batch` and `noise` do.

    Cost: `batch`, and the random numbers of `noise`.

    Source: Santurkar et al., NeurIPS 2018, section 2.1 and appendix.
    """
    noises = noise(
        shift_range=shift_range,
        scale_range=scale_range,
        shift_jitter=shift_jitter,
        scale_jitter=scale_jitter,
    )
    return compose([batch(eps=eps, momentum=momentum, affine=affine), noises])
