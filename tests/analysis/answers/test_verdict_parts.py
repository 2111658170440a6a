"""First lines of answers from findings written by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.answers.phases import Readings, judge
from analysis.answers.tally import tally
from analysis.metrics import Measure
from analysis.statistics.simultaneous import simultaneous
from analysis.text.sentences import Claim, Finding, Label, Number, Sentence

RATIO = Measure(key="m", title="m", better="lower", definition="Any.")
COSINE = Measure(key="c", title="c", contrast="difference", definition="Any.")


def finding(state: Any, block: str, phase: str, lr: float, part: str = "") -> Finding:
    claim = Claim((block,))
    return Finding(state=state, claim=claim, block=block, phase=phase, lr=lr, part=part)


def spoken(sentence: Sentence) -> str:
    return "".join(part.text if isinstance(part, Label | Number) else part for part in sentence)


def test_the_verdict_names_phase_block_and_rate() -> None:
    found = [
        finding("open", "vgg", "early", 0.1),
        finding("not estimable", "vgg", "early", 0.01),
        finding("supported", "vgg", "late", 0.1),
        finding("open", "vgg", "late", 0.01),
        finding("supported", "resnet", "late", 0.1),
        finding("supported", "resnet", "late", 0.01),
        finding("contradicted", "densenet", "late", 0.01),
    ]
    assert spoken(tally("C6", found)) == (
        "Mixed: late as claimed in 3 of 5 comparisons "
        "(vgg at LR 0.1; resnet), against it in 1 (densenet); undecided in 2; not estimable in 1."
    )


def test_halves_have_verdicts_of_their_own() -> None:
    found = [
        finding("supported", "vgg", "", math.nan, "faster"),
        finding("not estimable", "vgg", "", math.nan, "at rates where none fails"),
    ]
    assert spoken(tally("C1", found)) == (
        "Faster: supported: as claimed in 1 of 1 comparison. "
        "At rates where none fails: not estimable."
    )
    assert spoken(tally("C1", [])) == "Not estimable."
    keys = [part.key for part in tally("C1", found) if isinstance(part, Number)]
    assert keys == ["answers/C1/faster/supported", "answers/C1/faster/tested"]


def test_what_is_shown_is_not_counted() -> None:
    found = [finding("supported", "vgg", "late", 0.1), finding("shown", "vgg", "late", 0.01)]
    assert spoken(tally("Q7", found)) == "Supported: late as claimed in 1 of 1 comparison."


def test_a_verdict_has_its_effects_and_one_that_decides_nothing_no_phases() -> None:
    found = [
        replace(finding("contradicted", "vgg", "late", 0.1), measure="m", effect=2.0, unit="×"),
        replace(finding("contradicted", "net", "late", 0.1), measure="m", effect=3.5, unit="×"),
    ]
    said = "Contradicted: late against it in 2 of 2 comparisons, ratio 2.0 to 3.5."
    assert spoken(tally("C6", found)) == said
    idle = [finding("open", "vgg", phase, 0.1) for phase in ("early", "late")]
    assert spoken(tally("C6", idle)) == "Undecided in 2 comparisons."


def test_a_family_is_all_rates_and_phases_that_can_be_tested() -> None:
    d = np.log([0.4, 0.5, 0.6])
    alone = judge([Readings(phase="late", measure=RATIO, by_rate={0.1: d})], "below", None)
    many = judge(
        [
            Readings(phase="late", measure=RATIO, by_rate={0.1: d, 0.01: np.empty(0)}),
            Readings(phase="early", measure=RATIO, by_rate={0.1: d, 0.01: d}),
            Readings(phase="loss", measure=RATIO, by_rate={0.1: d[:1], 0.01: d[:2]}),
        ],
        "below",
        None,
    )
    one, several = alone["late", 0.1][1], many["late", 0.1][1]
    assert one.estimate == several.estimate == pytest.approx(math.exp(d.mean()))
    half = math.log(one.high / one.estimate)
    # Student's quantiles on 2 degrees of freedom at 1 − 0.025/2 and at 1 − 0.025/6
    assert half == pytest.approx(6.2053468 * d.std(ddof=1) / math.sqrt(3), rel=1e-6)
    wider = math.log(several.high / several.estimate) / half
    assert wider == pytest.approx(10.8859 / 6.2053468, rel=1e-4)
    assert many["late", 0.01][0] == "not estimable"
    assert many["loss", 0.01][0] == "open"  # three pairs at two rates: no interval
    assert math.isnan(many["loss", 0.01][1].low)


@pytest.mark.parametrize(
    ("side", "limit", "state"),
    [
        ("below", None, "supported"),
        ("above", None, "contradicted"),
        ("above", 0.5, "open"),
        ("above", 0.1, "supported"),
        ("either", None, "shown"),
    ],
)
def test_sides_and_limits(side: str, limit: float | None, state: str) -> None:
    d = np.log([0.5, 0.5001, 0.4999, 0.5])
    read = [Readings(phase="late", measure=RATIO, by_rate={0.1: d})]
    assert judge(read, side, limit)["late", 0.1][0] == state


def test_differences_stay_differences() -> None:
    read = [Readings(phase="late", measure=COSINE, by_rate={0.1: np.array([-0.2, -0.21, -0.19])})]
    state, effect = judge(read, "below", None)["late", 0.1]
    assert state == "supported"
    assert effect.estimate == pytest.approx(-0.2)


def test_simultaneous_intervals_by_hand() -> None:
    # Deviations ±1 and ±2: s² = (2·1 + 2·4)/2 = 5; the second group's own variance, 8, is larger.
    one, two = simultaneous([[4.0, 6.0], [1.0, 5.0]], 0.05)
    t = 2.9199855803537  # Student's 95 % quantile on 2 degrees of freedom
    assert one == pytest.approx((5.0, 5 - t * np.sqrt(5 / 2), 5 + t * np.sqrt(5 / 2), 2))
    assert two == pytest.approx((3.0, 3 - t * np.sqrt(8 / 2), 3 + t * np.sqrt(8 / 2), 2))


def test_simultaneous_intervals_need_two_degrees_of_freedom() -> None:
    few = simultaneous([[1.0, 2.0], [3.0]], 0.05)
    assert [one.estimate for one in few] == [1.5, 3.0]
    assert np.isnan([few[0].low, few[1].high]).all()
    lone = simultaneous([[1.0, 2.0, 3.0], [3.0], []], 0.05)
    assert lone[1].high - lone[1].low == pytest.approx(np.sqrt(3) * (lone[0].high - lone[0].low))
    assert lone[2].n == 0
    assert np.isnan(lone[2].estimate)
