from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from analysis.metrics import Measure, Probed
from analysis.statistics.rank_correlation import NO_PSI, Psi
from analysis.tables.associations import HEADLINE, Relation, corrected, verdict

ITEM = Probed(
    record="landscape",
    column="m",
    when="early",
    quantity="m",
    measure=Measure(key="m", title="m", better="lower", definition="Any."),
)
ABOVE = Psi(0.8, 0.3, 1.0, 8, 0.01, 0.99, 0.4)
UNSURE = Psi(0.3, -0.4, 1.0, 8, 0.2, 0.8, 0.4)
BELOW = Psi(-0.8, -1.0, -0.3, 8, 0.99, 0.01, 0.4)
NOT_TESTED = Psi(1.0, 0.9, 1.0, 3, 1 / 6, 1.0, math.nan)


def found(*blocks: Psi, error: float = 0.2, added: float = 0.1) -> list[Relation]:
    own: dict[str, Any] = {"item": ITEM, "outlook": "speed", "overall": 0.5, "runs": 9}
    names = [{"architecture": str(i)} for i in range(len(blocks))]
    each = [
        Relation(block=b, psi=p, p_holm=p.p, p_below_holm=p.p_below, **own)
        for b, p in zip(names, blocks, strict=True)
    ]
    return [*each, Relation(block={}, psi=ABOVE, worst_error=error, added_r2=added, **own)]


@pytest.mark.parametrize(
    ("relations", "kind", "blocks"),
    [
        (found(ABOVE, ABOVE), "predicts", 2),
        (found(ABOVE, UNSURE), "associated", 1),
        (found(ABOVE, NO_PSI), "associated", 1),
        (found(ABOVE, ABOVE, error=0.5), "associated", 2),
        (found(ABOVE, ABOVE, added=0.0), "associated", 2),
        (found(ABOVE, added=math.nan), "associated", 1),  # one architecture foretells no other
        (found(UNSURE, NOT_TESTED), "no evidence", 0),
        (found(BELOW, UNSURE), "opposed", 1),
        (found(NO_PSI, NO_PSI), "not estimable", 0),
        ([], "not estimable", 0),
    ],
)
def test_words_follow_the_rule(relations: list[Relation], kind: str, blocks: int) -> None:
    said = verdict(relations)
    assert (said.kind, said.blocks) == (kind, blocks)
    assert said.of == max(0, len(relations) - 1)


def test_holm_is_over_the_declared_measures_of_one_outcome_and_block() -> None:
    items = [replace(ITEM, measure=replace(ITEM.measure, key=key)) for key in (*HEADLINE, "other")]
    p = [0.01, 0.012, 0.2, 0.5, 0.9, 0.012]
    own = [
        replace(found(ABOVE)[0], item=item, psi=ABOVE._replace(p=each), outlook=outlook)
        for outlook in ("speed", "test")
        for item, each in zip(items, p, strict=True)
    ]
    fixed = [relation.p_holm for relation in corrected(own)]
    assert fixed[:5] == pytest.approx([0.05, 0.05, 0.6, 1.0, 1.0])  # 5·0.01, 4·0.012, 3·0.2, …
    assert fixed[6:11] == pytest.approx(fixed[:5])  # another outcome is another family
    assert fixed[5] == own[5].p_holm  # not in the family: as it was


def test_what_one_test_alone_allows_five_need_not() -> None:
    lone = found(ABOVE, UNSURE)
    assert verdict(lone).kind == "associated"
    after = [replace(relation, p_holm=5 * relation.psi.p + 0.01) for relation in lone]
    said = verdict(after)
    assert (said.kind, said.largest, said.detectable) == ("no evidence", 0.8, 0.4)
