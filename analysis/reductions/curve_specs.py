"""Which quantities are drawn as lines over training or over depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one such figure shows.

    Attributes:
        table, y: the record table and its column.
        over: the x axis: ``steps`` of training, or the relative ``depth`` of the layer.
        label: of the y axis, with its unit; ``{loss}`` stands for the loss's.
        log: draw y on a logarithmic axis.
        scale: what a record's value is multiplied by.
        bounds: of the quantity then; no band reaches beyond them.
        said: what the figure shows, in a sentence.
    """

    name: str
    title: str
    table: str
    y: str
    over: Literal["steps", "depth"] = "steps"
    label: str
    log: bool = False
    scale: float = 1.0
    bounds: tuple[float, float] = (-np.inf, np.inf)
    caption: str


STEP_MEDIAN = "Each run's value at a step is the median over its layers."
CURVES = (
    Curve(
        name="training_loss",
        title="Training loss",
        table="training",
        y="train_loss",
        label="training loss ({loss})",
        log=True,
        caption="Loss on each step's own batch, averaged in bins of steps.",
    ),
    Curve(
        name="test_accuracy",
        title="Test accuracy",
        table="training",
        y="test_accuracy",
        label="test accuracy (%)",
        scale=100.0,
        bounds=(0, 100),
        caption="Share of the test set classified correctly, at the evaluated steps.",
    ),
    Curve(
        name="test_loss",
        title="Test loss",
        table="training",
        y="test_loss",
        label="test loss ({loss})",
        log=True,
        caption="Loss on the test set at the evaluated steps.",
    ),
    Curve(
        name="ics_depth_relative",
        title="Gradient ICS by depth, relative",
        table="gradient_ics",
        y="relative",
        over="depth",
        label="‖G − G′‖ / ‖G‖ (ratio)",
        log=True,
        caption="Change of a layer's gradient when the layers before it are updated (Def. 2.1), "
        "over its norm; each run's median over the probed steps. The first layer, where it is zero "
        "by definition, is left out.",
    ),
    Curve(
        name="ics_depth_cosine",
        title="Gradient ICS by depth, cosine",
        table="gradient_ics",
        y="cosine",
        over="depth",
        label="cos(G, G′) (ratio)",
        bounds=(-1, 1),
        caption="Cosine of a layer's gradient before and after the layers before it are updated; 1 "
        "is no shift. Each run's median over the probed steps.",
    ),
    Curve(
        name="moment_speed_mean",
        title="Speed of the activations' means",
        table="moment_ics",
        y="mean_shift",
        label="|Δμ| / σ (per update)",
        log=True,
        caption="Change of a unit's mean in one update, in units of its standard deviation, "
        f"averaged over units. {STEP_MEDIAN}",
    ),
    Curve(
        name="moment_speed_std",
        title="Speed of the activations' standard deviations",
        table="moment_ics",
        y="log_std_shift",
        label="|Δ log σ| (per update)",
        log=True,
        caption="Change of the logarithm of a unit's standard deviation in one update, averaged "
        f"over units. {STEP_MEDIAN}",
    ),
    Curve(
        name="effective_beta",
        title="Effective β at every learning rate",
        table="landscape",
        y="effective_beta",
        label="effective β ({loss} / distance²)",
        log=True,
        caption="Largest ‖∇L(θ − s·d) − ∇L(θ)‖ over the distance ‖s·d‖ moved along the gradient, "
        "on the range of steps tied to the learning rate. Small also where a run is still at the "
        "loss at chance: read it beside the training loss.",
    ),
)
