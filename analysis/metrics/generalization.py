"""Table 5: generalization of networks that fit the training data equally well, and sharpness."""

from __future__ import annotations

import math

from analysis.metrics.metric import Measure, probed

_AT = "at the first evaluation after the smoothed training loss fell to the block's level"

TEST_AT_LOSS = Measure(
    key="test_accuracy_at_loss",
    title="test accuracy at matched loss",
    unit="%",
    better="higher",
    contrast="difference",
    most=100.0,
    definition=f"Accuracy on the test split {_AT}.",
)
LOSS_AT_LOSS = Measure(
    key="test_loss_at_loss",
    title="test loss at matched loss",
    unit="nats",
    better="lower",
    definition=f"Loss on the test split {_AT}. In a regression in units of the squared error.",
)
GAP_AT_LOSS = Measure(
    key="loss_gap_at_loss",
    title="test − training loss",
    unit="nats",
    better="lower",
    contrast="difference",
    least=-math.inf,
    definition=f"Test loss minus smoothed training loss {_AT}. Not in a regression: there the "
    "training loss is a sum over the batch, and the test loss a mean.",
)


def _sharpness(title: str, definition: str, *, rescales: bool) -> Measure:
    return Measure(
        key="sharpness",
        title=title,
        better="lower",
        contrast="difference",
        least=-math.inf,
        rescales=rescales,
        definition=f"{definition} The middle one of the measured radii ρ.",
    )


SHARPNESS = [
    *probed(
        "sharpness_sam",
        _sharpness(
            "sharpness (SAM)",
            "max L(θ+ε) − L(θ) over ‖ε‖₂ ≤ ρ (Foret et al. 2021).",
            rescales=True,
        ),
        "end",
    ),
    *probed(
        "sharpness_adaptive",
        _sharpness(
            "sharpness (adaptive)",
            "max L(θ+ε) − L(θ) over ‖ε/|θ|‖₂ ≤ ρ (Kwon et al. 2021): scale-free.",
            rescales=False,
        ),
        "end",
    ),
    *probed(
        "sharpness_average",
        _sharpness(
            "sharpness (average)",
            "Mean L(θ+ε) − L(θ) over random ε of length ρ.",
            rescales=True,
        ),
        "end",
    ),
]
