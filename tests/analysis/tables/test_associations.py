from __future__ import annotations

import math
from typing import Any

import pytest

from analysis.metrics import Measure, Probed
from analysis.statistics.rank_correlation import NO_PSI, Psi
from analysis.tables.associations import Relation, verdict

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
    each = [Relation(block=b, psi=p, **own) for b, p in zip(names, blocks, strict=True)]
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
