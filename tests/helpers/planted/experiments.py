"""How often statistics are right on studies whose truth is known, one function per question."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answers.phases import Readings, judge
from analysis.metrics import Measure, Probed
from analysis.statistics import estimates
from analysis.statistics.rank_correlation import overall
from analysis.tables import contrasts, outcomes, tuning_ranks
from analysis.tables.associations import related, verdict
from analysis.tables.prediction_targets import Arena, Outlook
from tests.helpers.planted.studies import (
    NOISE,
    PHASE_NOISE,
    RATES,
    SEEDS,
    diverged,
    ended,
    holds,
    paired_runs,
    phased,
    planned,
)

RATIO = Measure(key="measure", title="measure", better="lower", definition="Planted.")
ITEM = Probed(record="planted", column="measure", when="early", quantity="m", measure=RATIO)
EFFECTS = {"a quarter": 3 / 4, "a third": 2 / 3, "a half": 1 / 2}
"""Planted effects: the measure is less by so much. The goal is set for a third."""


@dataclass(frozen=True)
class Line:
    """One row of a table: what was asked, the range that is right, what was found.

    Attributes:
        beside: what another procedure would find, in words; or nothing.
    """

    what: str
    low: float
    high: float
    found: float
    beside: str = ""

    @property
    def holds(self) -> bool:
        """Whether the number is in its range."""
        return self.low <= self.found <= self.high


def coverage(seeds: int, rates: int, repeats: int, rng: np.random.Generator) -> float:
    """Share of intervals of the interquartile mean of normal values that hold the true mean."""
    strata = np.repeat(np.arange(rates), seeds)
    hits = 0
    for _ in range(repeats):
        found = estimates.interval(rng.normal(size=len(strata)), strata, rng)
        hits += found.low <= 0 <= found.high
    return hits / repeats


def paired(pairs: int, repeats: int, rng: np.random.Generator) -> float:
    """The same for the Hodges–Lehmann interval of paired differences."""
    found = [estimates.hodges_lehmann(rng.normal(size=pairs)) for _ in range(repeats)]
    return float(np.mean([one.low <= 0 <= one.high for one in found]))


def against_reference(effect: float, rng: np.random.Generator) -> tuple[bool, bool]:
    """20 normalizers at 3 learning rates and 5 seeds, one with a planted log-ratio.

    Returns:
        Whether any null one is told from the reference, and whether the planted one is, rightly.
    """
    found = contrasts.against(paired_runs(effect, rng), "batch", RATIO, rng)
    told = {name for name, one in found.items() if one.p_holm <= contrasts.ALPHA}
    right = "n01" in told and (found["n01"].effect < 1) == (effect < 0)
    return bool(told - {"n01"} if effect else told), right


def foretold(kind: str, rng: np.random.Generator, noise: float = NOISE) -> tuple[float, str]:
    """Overall τ and the word for a measure that the LR drives, as it does speed; or a real one.

    Args:
        kind: ``confound``, ``persistent`` (also each normalizer has effects on both, unrelated) or
            ``real`` (the normalizer's effect on the measure is its effect on speed).
        noise: of the log-ratio of two runs; normalizers' effects have standard deviation 0.7.
    """
    runs = planned(normalizers=8, seeds=3)
    rate = np.log(np.asarray(runs["lr"], float))
    rate = (rate - rate.mean()) / rate.std()
    number = np.array([int(name[1:]) for name in runs["normalizer"]])
    smooth, speed = rng.normal(0, 0.7, (2, 8))
    if kind == "real":
        speed = smooth
    if kind == "confound":
        smooth = speed = np.zeros(8)
    own = rng.normal(0, noise / math.sqrt(2), (2, len(runs)))
    values = pd.Series(2 * rate + smooth[number] + own[0])
    speeds = pd.Series(2 * rate + speed[number] + own[1])
    outlook = Outlook(name="speed", at="step", value=speeds)
    found = related(ITEM, outlook, values, Arena(runs), rate[:, None], int(rng.integers(2**31)))
    return overall(values, speeds)[0], verdict(found).kind


def claimed(
    claim: str, rng: np.random.Generator, rates: int = RATES, seeds: int = SEEDS, loud: float = 1.0
) -> tuple[bool, bool]:
    """The verdict on a planted claim, in 3 phases at each rate.

    Args:
        claim: of `studies.CLAIMS`. loud: how much more the first rate scatters than the others.

    Returns:
        Whether it is right (the claim is found wherever it holds, and nothing else is said), and
        whether it is wrong: says that the claim holds where it does not, or fails where it holds or
        nothing is planted. Else it is undecided somewhere.
    """
    scatter = PHASE_NOISE / np.append(1.0, np.full(rates - 1, loud))
    planted = phased(claim, rates, seeds, scatter, rng)
    read = [Readings(phase=phase, measure=RATIO, by_rate=own) for phase, own in planted.items()]
    states = {where: state for where, (state, _) in judge(read, "below", None).items()}
    true = {where for where in states if holds(claim, where[0], int(where[1]))}
    found = {where for where, state in states.items() if state == "supported"}
    wrong = bool(found - true) or "contradicted" in states.values()
    return found == true and not wrong, wrong


def diverging_pays(rng: np.random.Generator) -> set[str]:
    """The views and outcomes in which one more divergence gave a normalizer a better place."""
    runs = ended(rng)
    one = int(rng.choice(np.flatnonzero(runs["status"] == "ok")))
    more, name = diverged(runs, np.arange(len(runs)) == one), runs["normalizer"][one]
    found = set()
    for outcome in tuning_ranks.OUTCOMES:
        before, after = (
            tuning_ranks.places(each, outcome).xs(name, level="normalizer") for each in (runs, more)
        )
        better = (after.to_numpy() < before.to_numpy()).any(axis=0)
        found |= {f"{view}, {outcome}" for view in np.array(tuning_ranks.VIEWS)[better]}
    return found


def estimate_gains(rng: np.random.Generator) -> bool:
    """Whether one more divergence gave a better mean time at the rate that other seeds chose."""
    runs = ended(rng)
    one = int(rng.choice(np.flatnonzero(runs["status"] == "ok")))
    more, name = diverged(runs, np.arange(len(runs)) == one), runs["normalizer"][one]
    before, after = (
        outcomes.tuned(each[each["normalizer"] == name])["time"].mean() for each in (runs, more)
    )
    return bool(after < before - 1e-9)
