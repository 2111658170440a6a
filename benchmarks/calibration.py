"""Does the report mean what it says? Its statistics on data whose truth is known.

    python -m benchmarks.calibration [--repeats N]

prints a table: how often nominal 95 % intervals hold the truth, how often something is found where
there is nothing, how often what is planted is found, how often a claim's verdict names where the
claim holds, how often a confound is taken for a cause of
speed, and whether diverging ever pays. `tests/helpers/planted/studies.py` says what is planted.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.helpers.planted.experiments import (
    EFFECTS,
    Line,
    against_reference,
    claimed,
    coverage,
    diverging_pays,
    estimate_gains,
    foretold,
    paired,
)
from tests.helpers.planted.studies import CLAIMS, NOISE, perfect_power, t_power


def lines(repeats: int, seed: int = 0) -> Iterator[Line]:
    """All rows of the table."""
    rng = np.random.default_rng(seed)
    yield from _coverage(repeats, rng)
    yield from _effects(repeats, rng)
    yield from _claims(repeats, rng)
    yield from _words(repeats, rng)
    gains = float(np.mean([estimate_gains(rng) for _ in range(repeats)]))
    pays = float(np.mean([bool(diverging_pays(rng)) for _ in range(repeats)]))
    beside = f"estimates at the rate that other seeds chose: {gains:.3f}"
    yield Line("one more divergence improves a place, any view", 0, 0, pays, beside)


def _coverage(repeats: int, rng: np.random.Generator) -> Iterator[Line]:
    for n in (3, 5):
        for rates in (1, 3):
            what = f"coverage of 95 % intervals, {n} seeds × {rates} rate{'s' if rates > 1 else ''}"
            yield Line(what, 0.92, 0.97, coverage(n, rates, 2 * repeats, rng))
    for pairs in (9, 15):
        what = f"coverage of paired intervals, {pairs} pairs"
        yield Line(what, 0.92, 0.97, paired(pairs, 2 * repeats, rng))


def _effects(repeats: int, rng: np.random.Generator) -> Iterator[Line]:
    null = [against_reference(0.0, rng)[0] for _ in range(repeats)]
    yield Line("family-wise error, 20 normalizers, nothing planted", 0, 0.06, float(np.mean(null)))
    for name, ratio in EFFECTS.items():
        effect = math.log(ratio)
        found = [against_reference(effect, rng)[1] for _ in range(repeats)]
        least = 0.95 if ratio <= EFFECTS["a third"] else 0.9 * t_power(effect)
        beside = f"perfect test {perfect_power(effect):.3f}, t-test {t_power(effect):.3f}"
        what = f"planted effect among 20 found, right sign: {name} less"
        yield Line(what, least, 1, float(np.mean(found)), beside)


def _claims(repeats: int, rng: np.random.Generator) -> Iterator[Line]:
    for claim in CLAIMS:
        cases: dict[str, dict[str, Any]] = {"": {}, "2 rates × 3 seeds": {"rates": 2, "seeds": 3}}
        cases["one rate scatters twice the others"] = {"loud": 2.0}
        told = {
            case: np.array([claimed(claim, rng, **own) for _ in range(5 * repeats)], float).mean(0)
            for case, own in cases.items()
        }
        for i, (word, low, high) in enumerate((("right", 0.95, 1.0), ("wrong", 0.0, 0.02))):
            others = ", ".join(f"{case} {share[i]:.3f}" for case, share in told.items() if case)
            what = f"claim that holds {claim}: verdict {word}"
            yield Line(what, low, high, float(told[""][i]), others)


def _words(repeats: int, rng: np.random.Generator) -> Iterator[Line]:
    kinds = [("confound", NOISE, 0.0, 0.05), ("persistent", NOISE, 0.0, 0.05)]
    kinds += [("real", NOISE, 0.95, 1.0), ("real", 3 * NOISE, 0.3, 0.95)]
    for kind, noise, low, high in kinds:
        told = [foretold(kind, rng, noise) for _ in range(max(1, repeats // 2))]
        words = float(np.mean([word == "predicts" for _, word in told]))
        name = kind if noise == NOISE else f"{kind}, three times the noise"
        yield Line(f"{name}: overall τ, median", 0.4, 1, float(np.median([tau for tau, _ in told])))
        yield Line(f"{name}: worded “predicts”", low, high, words)


def main() -> int:
    """Print the table; 1 if a number is out of its range."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args()
    print(f"| {options.repeats} repeats | right | found | beside | |")
    print("| --- | --- | ---: | --- | --- |")
    good = True
    for line in lines(options.repeats, options.seed):
        mark = "" if line.holds else "out of range"
        range_ = f"{line.low:.3g}–{line.high:g}"
        print(f"| {line.what} | {range_} | {line.found:.3f} | {line.beside} | {mark} |", flush=True)
        good = good and line.holds
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
