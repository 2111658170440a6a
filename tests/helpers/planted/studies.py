"""Studies whose truth is known: planted effects, confounds and divergences."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import optimize, stats

NORMALIZERS = 20
RATES = 3
SEEDS = 5
"""Those of sweeps/normalizers.yaml: 15 pairs of runs for a comparison."""

NOISE = 0.25
"""Standard deviation of a planted log-ratio of two paired runs. Of steps to target in the
quickstart, over architectures and learning rates, its median is 0.12 and its 90th percentile 0.23.
"""

PHASES = ("early", "late", "loss")
PHASE_NOISE, PHASE_EFFECT = 0.35, 1 / 4
"""Of a probed measure in one phase at one rate: standard deviation of the log-ratio of two paired
runs, and a planted ratio. In the quickstart the first is 0.26 for gradient change, 0.30 for
effective β and 0.7 for the loss range (medians); late ratios of batch to none are 0.11 to 0.41 for
gradient change and 0.005 to 0.1 for the loss range."""
CLAIMS = ("late only", "at one rate only", "never")

HORIZON, CHANCE = 100.0, 10.0


def paired_runs(effect: float, rng: np.random.Generator) -> pd.DataFrame:
    """A row per learning rate and seed, a column per normalizer: ``batch``, ``n01``, ….

    Args:
        effect: planted log-ratio of ``n01`` to all others.
    """
    names = ["batch", *(f"n{i:02}" for i in range(1, NORMALIZERS))]
    index = pd.MultiIndex.from_product([range(RATES), range(SEEDS)], names=["lr", "seed"])
    shared = rng.normal(0, 1, (len(index), 1))  # what a seed and a rate do to all normalizers
    logs = shared + rng.normal(0, NOISE / math.sqrt(2), (len(index), NORMALIZERS))
    logs[:, 1] += effect
    return pd.DataFrame(np.exp(logs), index=index, columns=names)


def holds(claim: str, phase: str, rate: int) -> bool:
    """Whether a planted claim (of `CLAIMS`) holds in a phase, at the rate of this number."""
    return {"late only": phase == "late", "at one rate only": rate == 0, "never": False}[claim]


def phased(
    claim: str, rates: int, seeds: int, scatter: np.ndarray, rng: np.random.Generator
) -> dict[str, dict[float, np.ndarray]]:
    """By phase and rate: log-ratios of paired runs, `PHASE_EFFECT` where the claim holds, else 1.

    Args:
        scatter: (rates,) standard deviations. Half of the variance is a run's own in all phases.
    """
    own = rng.normal(size=(rates, seeds)) / math.sqrt(2)
    return {
        phase: {
            float(rate): math.log(PHASE_EFFECT) * holds(claim, phase, rate)
            + scatter[rate] * (own[rate] + rng.normal(size=seeds) / math.sqrt(2))
            for rate in range(rates)
        }
        for phase in PHASES
    }


def perfect_power(effect: float) -> float:
    """Chance of the best test there is to tell `paired_runs`' effect from 0, with its sign.

    It is told that the noise is normal, and its size; its family-wise error over all comparisons
    with the reference is 5 %. Φ(|δ|√n/σ − c), where P(max |Z_i| ≤ c) = 0.95 for normal Z_i of
    correlation ½.
    Source: Dunnett, JASA 1955.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)

    def missed(c: float) -> float:
        inside = stats.norm.cdf(math.sqrt(2) * c + nodes) - stats.norm.cdf(
            -math.sqrt(2) * c + nodes
        )
        return float(weights @ inside ** (NORMALIZERS - 1) / weights.sum()) - 0.95

    critical = float(np.asarray(optimize.brentq(missed, 1, 6)))
    return float(stats.norm.cdf(abs(effect) * math.sqrt(RATES * SEEDS) / NOISE - critical))


def t_power(effect: float) -> float:
    """The same of Student's paired t-test at Bonferroni's level, the noise's size not known."""
    pairs, tail = RATES * SEEDS, 0.025 / (NORMALIZERS - 1)
    critical = stats.t.isf(tail, pairs - 1)
    return float(stats.nct.sf(critical, pairs - 1, abs(effect) * math.sqrt(pairs) / NOISE))


def planned(normalizers: int, seeds: int) -> pd.DataFrame:
    """Runs of 3 architectures, 4 learning rates: the labels alone."""
    grid = pd.MultiIndex.from_product(
        [
            ["resnet", "vgg", "densenet"],
            [f"n{i}" for i in range(normalizers)],
            [0.003, 0.01, 0.03, 0.1],
            range(seeds),
        ],
        names=["architecture", "normalizer", "lr", "seed"],
    ).to_frame(index=False)
    return grid.assign(data="planted", training="")


def ended(rng: np.random.Generator) -> pd.DataFrame:
    """Outcomes of 4 normalizers on one architecture; a tenth of the runs diverged."""
    runs = planned(normalizers=4, seeds=3)
    runs = runs[runs["architecture"] == "vgg"].reset_index(drop=True)
    names, rates = (np.unique(runs[key], return_inverse=True)[1] for key in ("normalizer", "lr"))
    quality = rng.normal(0, 1, (4, 4))[names, rates]
    good = 1 / (1 + np.exp(-quality - rng.normal(0, 0.1, len(runs))))
    # how fast and how accurate a run is, and its score, agree only loosely
    fast, right = (np.clip(good + rng.normal(0, 0.1, len(runs)), 0.01, 0.99) for _ in range(2))
    runs = runs.assign(status="ok", steps=HORIZON, chance=CHANCE, time=HORIZON * (1 - fast))
    runs["stuck"] = False
    runs = runs.assign(accuracy=CHANCE + 90 * right, score=good)
    return diverged(runs, rng.random(len(runs)) < 0.1)


def diverged(runs: pd.DataFrame, which: np.ndarray) -> pd.DataFrame:
    """The same with these runs diverged: last in each outcome (`analysis.tables.outcomes`)."""
    lost = runs.assign(status=runs["status"].mask(which, "diverged"))
    lost["time"] = runs["time"].mask(which, runs["steps"])
    lost["accuracy"] = runs["accuracy"].mask(which, runs["chance"])
    return lost.assign(score=runs["score"].mask(which, 0.0)) if "score" in runs else lost
