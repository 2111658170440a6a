"""Table 3: speed, accuracy, stability and cost, under four ways to choose the learning rate."""

from __future__ import annotations

from dataclasses import replace

from analysis.metrics.metric import Measure

_SHARED = "at the learning rate with the best mean score over all normalizers of the block"

STEPS = Measure(
    key="steps_to_target",
    title="steps to target",
    unit="steps",
    better="lower",
    definition="Restricted mean: steps until the smoothed training loss is at the block's target, "
    "the planned number where it never is or the run diverged; at the tuned learning rate.",
)
FINAL_LOSS = Measure(
    key="final_train_loss",
    title="final training loss",
    unit="nats",
    better="lower",
    definition="Mean batch loss of the last 5 % of the steps, at the tuned learning rate. "
    "In a regression in units of the squared error. "
    "Where a run diverged: the median, its loss being infinite; “diverged” if half or more did. "
    "Against the reference it counts with the largest first or final loss of its block.",
)
LOSS_SHARE = Measure(
    key="final_loss_share",
    title="final loss / chance",
    better="lower",
    contrast="difference",
    definition="Mean batch loss of the last 5 % of the steps over the loss at chance, that of the "
    "best constant prediction (ln K for K equally frequent classes), at the tuned learning rate. "
    "One: nothing learned. A diverged run counts with the largest first or final loss of its "
    "block.",
)
TRAIN_ACCURACY = Measure(
    key="train_accuracy",
    title="training accuracy",
    unit="%",
    better="higher",
    contrast="difference",
    most=100.0,
    definition="Accuracy on the batches of the last 5 % of the steps, at the tuned learning rate; "
    "a diverged run counts as chance.",
)
ACCURACY = Measure(
    key="test_accuracy",
    title="test accuracy",
    unit="%",
    better="higher",
    contrast="difference",
    most=100.0,
    definition="Accuracy of the trained network on the test split, at the tuned learning rate; a "
    "diverged run counts as chance: e^−(loss at chance), 1/K for K classes of equal size.",
)
STEPS_SHARED = replace(
    STEPS,
    key="steps_to_target_shared",
    title="steps to target, shared LR",
    definition=f"The same {_SHARED}.",
)
ACCURACY_SHARED = replace(
    ACCURACY,
    key="test_accuracy_shared",
    title="test accuracy, shared LR",
    definition=f"The same {_SHARED}.",
)
_OF_TWO = (
    "of the better, by validation score, of two learning rates drawn from the grid: the expected "
    "result of an equal budget of two tries (Dodge et al. 2019); one where the grid has one"
)
STEPS_OF_TWO = replace(
    STEPS,
    key="steps_to_target_of_two",
    title="steps to target, best of 2",
    definition=f"The same {_OF_TWO}.",
)
ACCURACY_OF_TWO = replace(
    ACCURACY,
    key="test_accuracy_of_two",
    title="test accuracy, best of 2",
    definition=f"The same {_OF_TWO}.",
)
STEPS_AVERAGED = replace(
    STEPS,
    key="steps_to_target_averaged",
    title="steps to target, LR average",
    definition="The same averaged over the learning rates of the grid: what no tuning gives.",
)
ACCURACY_AVERAGED = replace(
    ACCURACY,
    key="test_accuracy_averaged",
    title="test accuracy, LR average",
    definition="The same averaged over the learning rates of the grid: what no tuning gives.",
)
DIVERGED = Measure(
    key="divergence_rate",
    title="diverged",
    unit="%",
    better="lower",
    most=100.0,
    definition="Share of all runs, over all learning rates, whose loss was not finite or exploded; "
    "with Wilson's interval.",
)
STABLE_LR = Measure(
    key="largest_stable_lr",
    title="largest stable LR",
    better="higher",
    definition="The largest learning rate of the grid at which no seed diverged or stayed at the "
    "loss at chance.",
)
STEPS_SPREAD = Measure(
    key="lr_spread_steps",
    title="LR sensitivity: steps",
    unit="steps",
    definition="Largest minus smallest, over the grid's learning rates, of the restricted mean "
    "steps to target. Small also where no learning rate works.",
)
ACCURACY_SPREAD = Measure(
    key="lr_spread_accuracy",
    title="LR sensitivity: accuracy",
    unit="points",
    most=100.0,
    definition="Largest minus smallest, over the grid's learning rates, of the mean test accuracy. "
    "Small also where no learning rate works.",
)
STEP_TIME = Measure(
    key="step_time_ratio",
    title="step time",
    unit="× reference",
    better="lower",
    definition="Wall time of a training step, probes and evaluation not counted, over the "
    "reference normalizer's: Hodges–Lehmann ratio of pairs.",
)
MEMORY = Measure(
    key="memory_ratio",
    title="peak memory",
    unit="× reference",
    better="lower",
    definition="Peak of the device's allocated memory over the reference normalizer's: "
    "Hodges–Lehmann ratio of pairs.",
)
