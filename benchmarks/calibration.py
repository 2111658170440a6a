"""Does the report mean what it says? Its statistics on data whose truth is known.

    python -m benchmarks.calibration [--repeats N]

prints a table: how often nominal 95 % intervals hold the truth, how often something is found where
there is nothing, how often what is planted is found, how often a confound is taken for a cause of
speed, and whether diverging ever pays.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import contrasts, outcomes, stats
from analysis.measures import Measure, Probed
from analysis.outlook import Arena, Outlook
from analysis.ranks import overall
from analysis.relations import related, verdict

RATIO = Measure(key="measure", title="measure", better="lower", definition="Planted.")
ITEM = Probed(record="planted", column="measure", when="early", quantity="m", measure=RATIO)
NORMALIZERS = 20
HORIZON = 100.0
HALVED = float(np.log(0.5))
"""The planted effect, as a log-ratio; two runs of a pair differ by noise of 0.42."""


@dataclass(frozen=True)
class Line:
    """One row of the printed table: what was asked, the range that is right, what was found."""

    what: str
    low: float
    high: float
    found: float

    @property
    def holds(self) -> bool:
        """Whether the number is in its range."""
        return self.low <= self.found <= self.high


def coverage(seeds: int, rates: int, repeats: int, rng: np.random.Generator) -> float:
    """Share of intervals of the interquartile mean of normal values that hold the true mean."""
    strata = np.repeat(np.arange(rates), seeds)
    hits = 0
    for _ in range(repeats):
        found = stats.interval(rng.normal(size=len(strata)), strata, rng)
        hits += found.low <= 0 <= found.high
    return hits / repeats


def paired(pairs: int, repeats: int, rng: np.random.Generator) -> float:
    """The same for the Hodges–Lehmann interval of paired differences."""
    found = [stats.hodges_lehmann(rng.normal(size=pairs)) for _ in range(repeats)]
    return float(np.mean([one.low <= 0 <= one.high for one in found]))


def against_reference(effect: float, seeds: int, rng: np.random.Generator) -> tuple[bool, bool]:
    """20 normalizers at 3 learning rates, one with a planted log-ratio against the reference.

    Returns:
        Whether any null one is told from the reference, and whether the planted one is, rightly.
    """
    names = ["batch", *(f"n{i:02}" for i in range(1, NORMALIZERS))]
    index = pd.MultiIndex.from_product([[0.01, 0.1, 1.0], range(seeds)], names=["lr", "seed"])
    shared = rng.normal(0, 1, (len(index), 1))  # what a seed and a rate do to all normalizers
    logs = shared + rng.normal(0, 0.3, (len(index), NORMALIZERS))
    logs[:, 1] += effect
    wide = pd.DataFrame(np.exp(logs), index=index, columns=names)
    found = contrasts.against(wide, "batch", RATIO, rng)
    told = {name for name, one in found.items() if one.p_holm <= contrasts.ALPHA}
    right = "n01" in told and (found["n01"].effect < 1) == (effect < 0)
    return bool(told - {"n01"} if effect else told), right


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


def foretold(kind: str, rng: np.random.Generator) -> tuple[float, str]:
    """Overall τ and the word for a measure that the LR drives, as it does speed; or a real one.

    Args:
        kind: ``confound``, ``persistent`` (also each normalizer has effects on both, unrelated) or
            ``real`` (the normalizer's effect on the measure is its effect on speed).
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
    values = pd.Series(2 * rate + smooth[number] + rng.normal(0, 0.5, len(runs)))
    speeds = pd.Series(2 * rate + speed[number] + rng.normal(0, 0.5, len(runs)))
    outlook = Outlook(name="speed", said="speed", at="step", value=speeds)
    found = related(ITEM, outlook, values, Arena(runs), rate[:, None], int(rng.integers(2**31)))
    return overall(values, speeds)[0], verdict(found).kind


CHOOSING = ("tuned", "shared")
"""Views that choose a rate: a divergence can make them choose another, by luck a better one."""


def diverging_pays(rng: np.random.Generator) -> set[str]:
    """The views in which one more divergence gave a normalizer a better rank."""
    runs = planned(normalizers=4, seeds=3)
    runs = runs[runs["architecture"] == "vgg"].reset_index(drop=True)
    quality = rng.normal(0, 1, (4, 4))[runs["normalizer"].str[1:].astype(int), _rates(runs)]
    quality = quality + rng.normal(0, 0.1, len(runs))
    lost = rng.random(len(runs)) < 0.1
    more = lost.copy()
    chosen = int(rng.choice(np.flatnonzero(~lost)))
    more[chosen] = True
    name = runs["normalizer"][chosen]
    before, after = (_ranks(_ended(runs, quality, diverged)) for diverged in (lost, more))
    return {view for view in before if after[view][name] < before[view][name]}


def _rates(runs: pd.DataFrame) -> np.ndarray:
    return runs["lr"].rank(method="dense").to_numpy(int) - 1


def _ended(runs: pd.DataFrame, quality: np.ndarray, diverged: np.ndarray) -> pd.DataFrame:
    """Outcomes as `analysis.outcomes` gives them: a diverged run is last in each."""
    good = 1 / (1 + np.exp(-quality))
    return runs.assign(
        status=np.where(diverged, "diverged", "ok"),
        time=np.where(diverged, HORIZON, HORIZON * (1 - good)),
        accuracy=np.where(diverged, 10.0, 10 + 90 * good),
        score=np.where(diverged, 0.1, 0.1 + 0.9 * good),
    )


def _ranks(runs: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Rank of every normalizer (1 is best) by mean time in each view, and by the other columns."""
    views: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "tuned": outcomes.tuned,
        "shared": outcomes.shared,
        "of_two": outcomes.of_two,
        "averaged": outcomes.averaged,
    }
    means = {name: view(runs).groupby("normalizer")["time"].mean() for name, view in views.items()}
    lost = (runs["status"] == "diverged").groupby(runs["normalizer"]).mean()
    means |= {"rate": lost}
    ranked = {name: mean.rank(method="min") for name, mean in means.items()}
    return {
        view: {str(name): float(rank) for name, rank in ranks.items()}
        for view, ranks in ranked.items()
    }


def lines(repeats: int, seed: int = 0) -> list[Line]:
    """All rows of the table."""
    rng = np.random.default_rng(seed)
    found = [
        Line(f"coverage of 95 % intervals, {n} seeds × {rates} rates", 0.92, 0.97, value)
        for n in (3, 5)
        for rates in (1, 3)
        for value in [coverage(n, rates, 2 * repeats, rng)]
    ]
    found += [
        Line(f"coverage of paired intervals, {pairs} pairs", 0.92, 0.99, value)
        for pairs in (9, 15)
        for value in [paired(pairs, 2 * repeats, rng)]
    ]
    null = [against_reference(0.0, 5, rng)[0] for _ in range(repeats)]
    planted = [against_reference(HALVED, 5, rng)[1] for _ in range(repeats)]
    found += [
        Line("family-wise error, 20 normalizers, nothing planted", 0, 0.06, float(np.mean(null))),
        Line("planted effect of 20 found, right sign", 0.95, 1, float(np.mean(planted))),
    ]
    for kind, low, high in (("confound", 0, 0.05), ("persistent", 0, 0.05), ("real", 0, 1)):
        told = [foretold(kind, rng) for _ in range(max(1, repeats // 5))]
        words = float(np.mean([word == "predicts" for _, word in told]))
        taus = float(np.median([tau for tau, _ in told]))
        found += [Line(f"{kind}: overall τ, median", 0.4, 1, taus)]
        found += [Line(f"{kind}: worded “predicts”", low, high, words)]
    pays = [diverging_pays(rng) for _ in range(repeats)]
    fixed = float(np.mean([bool(views - set(CHOOSING)) for views in pays]))
    chosen = float(np.mean([bool(views & set(CHOOSING)) for views in pays]))
    return [
        *found,
        Line("one more divergence improves a rank, no rate chosen", 0, 0, fixed),
        Line("the same, by another choice of the rate", 0, 0.05, chosen),
    ]


def main() -> int:
    """Print the table; 1 if a number is out of its range."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args()
    table = lines(options.repeats, options.seed)
    print(f"| {options.repeats} repeats | right | found | |\n| --- | --- | ---: | --- |")
    for line in table:
        mark = "" if line.holds else "out of range"
        print(f"| {line.what} | {line.low:g}–{line.high:g} | {line.found:.3f} | {mark} |")
    return int(not all(line.holds for line in table))


if __name__ == "__main__":
    raise SystemExit(main())
