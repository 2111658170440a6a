"""The formula of every normalizer. A new one adds an entry, and every test here applies to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from tests.pipeline.normalizers.formulas import (
    batch,
    batch_renorm,
    lp,
    mixtures,
    moving_average,
    position,
    response,
    weight,
    whitening,
)
from tests.pipeline.normalizers.formulas import (
    batch_ablations as partial_batch,
)
from tests.pipeline.normalizers.formulas import (
    norm_activation as fused,
)
from tests.pipeline.normalizers.formulas import (
    norm_activation_batch as fused_batch,
)
from tests.pipeline.normalizers.formulas import (
    normalizer_free as unnormalized,
)
from tests.pipeline.normalizers.formulas import (
    per_sample as sample,
)
from tests.pipeline.normalizers.formulas.common import Buffers, plain_weight, same, unchanged


@dataclass(frozen=True)
class Reference:
    """What a normalizer must compute; the first two functions take its options as keywords."""

    features: Callable[..., tuple[Tensor, Buffers]] = unchanged
    """(inputs, State, **options) → outputs, and the floating-point buffers after the forward."""
    weight: Callable[..., tuple[Tensor, Buffers]] = plain_weight
    """(State of the weight layer, **options) → its effective weight, and the buffers likewise."""
    residual: Callable[[Tensor, dict[str, Tensor]], Tensor] = same
    """(inputs, parameters) → outputs of the module at the end of a residual branch."""
    activation: Callable[[Tensor, dict[str, Tensor]], Tensor] = same
    """The same of the activation, where the normalizer replaces it."""
    variants: tuple[dict[str, Any], ...] = ({},)
    """The options to test; the defaults come first."""
    later: dict[str, float] = field(default_factory=dict)
    """Values of buffers after its warm-up; tests begin there."""
    vectors: bool = True
    """Five vectors are enough to test it on (N, C) too."""
    channels: int = 6
    """Channels on which all variants work."""


AFFINE = ({}, {"affine": False}, {"eps": 0.1})
LP = (
    {},
    {"centered": True},
    {"affine": False},
    {"centered": True, "affine": False},
    {"eps": 0.1, "momentum": 0.7},
)

REFERENCES: dict[str, Reference] = {
    "none": Reference(),
    "batch": Reference(batch.batch, variants=(*AFFINE, {"momentum": 0.7})),
    "mean_only": Reference(
        partial_batch.mean_only, variants=({}, {"affine": False}, {"momentum": 0.7})
    ),
    "variance_only": Reference(partial_batch.variance_only, variants=(*AFFINE, {"momentum": 0.7})),
    "ghost_batch": Reference(
        batch.ghost_batch, variants=({}, {"ghost": 3}, {"ghost": 3, "eps": 0.1, "affine": False})
    ),
    "batch_renorm": Reference(
        batch_renorm.batch_renorm,
        variants=(
            *AFFINE,
            {"r_max": 1.0, "d_max": 0.0},
            {"relax_from": 10, "r_max_at": 10, "momentum": 0.7},
        ),
        later={"steps": 15_000},
    ),
    "moving_average_batch": Reference(
        moving_average.moving_average_batch,
        variants=(*AFFINE, {"window": 3, "r_from": 0, "r_max": 1.5}),
        later={"steps": 200, "squares": 1.3, "gradients": 0.4},
    ),
    "power_norm": Reference(
        moving_average.power,
        variants=(*AFFINE, {"warmup": 0}, {"momentum": 0.7, "backward_momentum": 0.2}),
        later={"steps": 200, "running_gradient": 0.4, "used_gradient": 0.3},
    ),
    "evonorm_b0": Reference(fused_batch.evonorm_b0, variants=({}, {"eps": 0.1, "momentum": 0.7})),
    "switchable": Reference(mixtures.switchable, variants=(*AFFINE, {"momentum": 0.7})),
    "batch_instance": Reference(mixtures.batch_instance, variants=(*AFFINE, {"momentum": 0.7})),
    "iterative_whitening": Reference(
        whitening.iterative_whitening,
        variants=(*AFFINE, {"groups": 2, "iterations": 3}, {"channels_per_group": 2}),
    ),
    "decorrelated_batch": Reference(
        whitening.decorrelated_batch,
        variants=(*AFFINE, {"channels_per_group": 2}, {"channels_per_group": 1, "momentum": 0.7}),
        vectors=False,
        channels=16,
    ),
    "noise": Reference(
        batch.noise,
        variants=(
            {},
            {"shift_range": 2.0, "scale_range": 0.0},
            {"shift_jitter": 0.3, "scale_jitter": 0.0},
        ),
    ),
    "noisy_batch": Reference(
        batch.noisy_batch, variants=({}, {"affine": False}, {"scale_jitter": 0.5})
    ),
    "l1": Reference(lp.l1, variants=LP),
    "l2": Reference(lp.l2, variants=LP),
    "linf": Reference(lp.linf, variants=LP),
    "layer": Reference(sample.layer, variants=AFFINE),
    "instance": Reference(sample.instance, variants=AFFINE),
    "group": Reference(
        sample.group,
        variants=(*AFFINE, {"groups": 4}, {"channels_per_group": 2}, {"channels_per_group": 1}),
        channels=128,
    ),
    "rms": Reference(sample.rms, variants=AFFINE),
    "layer_per_pixel": Reference(position.layer_per_pixel, variants=AFFINE),
    "position": Reference(position.position, variants=({}, {"eps": 0.1})),
    "local_response": Reference(
        response.local_response,
        variants=({}, {"size": 3, "alpha": 0.5, "beta": 1.5, "k": 0.5}, {"size": 1, "alpha": 1.0}),
    ),
    "divisive": Reference(
        response.divisive, variants=({}, {"affine": True}, {"window": 3, "sigma": 2.0})
    ),
    "global_response": Reference(response.global_response, variants=({}, {"eps": 0.1})),
    "filter_response": Reference(
        fused.filter_response, activation=fused.threshold, variants=({}, {"eps": 0.1})
    ),
    "evonorm_s0": Reference(
        fused.evonorm_s0,
        variants=({}, {"groups": 4, "eps": 0.1}, {"channels_per_group": 1}),
        channels=128,
    ),
    "fixup": Reference(residual=unnormalized.multiplied),
    "skipinit": Reference(residual=unnormalized.multiplied, variants=({}, {"alpha": 1.0})),
    "selu": Reference(activation=unnormalized.selu),
    "dynamic_tanh": Reference(unnormalized.dynamic_tanh, variants=({}, {"alpha": 1.0})),
    "derf": Reference(unnormalized.derf, variants=({}, {"alpha": 1.0, "shift": 0.3})),
    "dyisru": Reference(unnormalized.dyisru, variants=({}, {"beta": 0.5})),
    "weight_norm": Reference(weight=weight.weight),
    "centered_weight_norm": Reference(weight=weight.centered_weight_norm),
    "scaled_weight_standardization": Reference(
        weight=weight.scaled_weight_standardization,
        variants=({}, {"gamma": 1.0}, {"learned_gain": False}, {"eps": 20.0}),
    ),
    "spectral_norm": Reference(weight=weight.spectral, variants=({}, {"iterations": 3})),
    "weight_standardization": Reference(
        weight=weight.weight_standardization, variants=({}, {"eps": 0.1})
    ),
}
