"""What the tables measure: one `Measure` a column, its definition in words that can be printed."""

from analysis.metrics.generalization import GAP_AT_LOSS, LOSS_AT_LOSS, SHARPNESS, TEST_AT_LOSS
from analysis.metrics.ics import ICS
from analysis.metrics.metric import Measure, Probed, When
from analysis.metrics.smoothness import SMOOTHNESS, THEORY, TWINS
from analysis.metrics.training import (
    ACCURACY,
    ACCURACY_AVERAGED,
    ACCURACY_OF_TWO,
    ACCURACY_SHARED,
    ACCURACY_SPREAD,
    DIVERGED,
    FINAL_LOSS,
    LOSS_SHARE,
    MEMORY,
    STABLE_LR,
    STEP_TIME,
    STEPS,
    STEPS_AVERAGED,
    STEPS_OF_TWO,
    STEPS_SHARED,
    STEPS_SPREAD,
    TRAIN_ACCURACY,
)

__all__ = [
    "ACCURACY",
    "ACCURACY_AVERAGED",
    "ACCURACY_OF_TWO",
    "ACCURACY_SHARED",
    "ACCURACY_SPREAD",
    "DIVERGED",
    "FINAL_LOSS",
    "GAP_AT_LOSS",
    "ICS",
    "LOSS_AT_LOSS",
    "LOSS_SHARE",
    "MEMORY",
    "SHARPNESS",
    "SMOOTHNESS",
    "STABLE_LR",
    "STEPS",
    "STEPS_AVERAGED",
    "STEPS_OF_TWO",
    "STEPS_SHARED",
    "STEPS_SPREAD",
    "STEP_TIME",
    "TEST_AT_LOSS",
    "THEORY",
    "TRAIN_ACCURACY",
    "TWINS",
    "Measure",
    "Probed",
    "When",
]
