"""The formula of every normalizer. A new one adds an entry, and every test here applies to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tests.pipeline.normalizers.formulas import batch, lp, sample, weight
from tests.pipeline.normalizers.formulas.common import Buffers, plain_weight, unchanged


@dataclass(frozen=True)
class Reference:
    """What a normalizer must compute; both functions take its options as keywords."""

    features: Callable[..., tuple[Tensor, Buffers]] = unchanged
    """(inputs, State, **options) → outputs, and the floating-point buffers after the forward."""
    weight: Callable[..., Tensor] = plain_weight
    """(parameters of the weight layer, **options) → its effective weight."""
    variants: tuple[dict[str, Any], ...] = ({},)
    """The options to test; the defaults come first."""
    channels: int = 6
    """Channels on which all variants work."""
    lr: float = 0.1
    """A learning rate at which a small network trains."""


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
    "instance": Reference(sample.instance, variants=AFFINE, lr=1.0),
    "group": Reference(
        sample.group,
        variants=(*AFFINE, {"groups": 4}, {"channels_per_group": 2}, {"channels_per_group": 1}),
        channels=128,
    ),
    "rms": Reference(sample.rms, variants=AFFINE),
    "weight": Reference(weight=weight.weight),
    "weight_standardization": Reference(
        weight=weight.weight_standardization, variants=({}, {"eps": 0.1}), lr=0.01
    ),
}
