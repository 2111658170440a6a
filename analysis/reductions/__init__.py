"""From record tables to one number, or one curve, per run."""

from analysis.reductions import over_steps, summaries
from analysis.reductions.curve_data import QUANTILES, chosen_layers
from analysis.reductions.curve_specs import CURVES, Curve
from analysis.reductions.over_steps import (
    BLOCK,
    WINDOW,
    is_stuck,
    is_weak,
    learned_step,
    levels,
    reach_step,
)
from analysis.reductions.record_views import VIEWS, View
from analysis.reductions.trainings import Trainings, Variant

__all__ = [
    "BLOCK",
    "CURVES",
    "QUANTILES",
    "VIEWS",
    "WINDOW",
    "Curve",
    "Trainings",
    "Variant",
    "View",
    "chosen_layers",
    "is_stuck",
    "is_weak",
    "learned_step",
    "levels",
    "over_steps",
    "reach_step",
    "summaries",
]
