"""Table 4: each measure against speed and generalization, in every block and over all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.metrics import Measure
from analysis.reductions import BLOCK
from analysis.statistics import ALPHA
from analysis.tables.associations import HEADLINE, Relation, relations_for
from analysis.tables.columns import CELL
from analysis.tables.contrasts import NO_CONTRAST

ALL = "all"
"""What stands for the block's labels in the rows over all blocks."""
RESCALES = "†"

_PSI = (
    "Granulated Kendall ψ: the mean, over data, training, architecture, learning rate and seed, of "
    "the rank correlation over normalizers; 1: what is better by the measure is always better in "
    "the outcome. Interval: jackknife over normalizers."
)
_AT = {
    "speed": "Measure: mean from 5 to 25 % of the run. Outcome: steps to the target after that.",
    "speed_loss": "Measure: where the loss is halfway to the target. Outcome: steps from there.",
    "test": "Measure: mean from 5 to 25 % of the run. Outcome: final test accuracy.",
    "test_loss": "Measure and test accuracy: where the loss reaches the target.",
}


def _measure(key: str, title: str, definition: str, least: float, most: float) -> Measure:
    return Measure(
        key=key,
        title=title,
        digits=2,
        contrast="difference",
        least=least,
        most=most,
        definition=definition,
    )


def _ranking(outlook: str, title: str) -> Measure:
    return _measure(f"psi_{outlook}", f"ψ, {title}", f"{_PSI} {_AT[outlook]}", -1, 1)


MEASURES = [
    _ranking("speed", "speed"),
    _measure(
        "tau_speed",
        "overall τ, speed",
        "Kendall's τ over all runs, nothing held fixed: for contrast with ψ only.",
        -1,
        1,
    ),
    _measure(
        "error_speed",
        "worst sign-error, speed",
        "Share of pairs of normalizers that measure and outcome order differently, in the worst "
        "architecture and learning rate; 0.5 is chance.",
        0,
        1,
    ),
    _measure(
        "added_r2_speed",
        "ΔR², speed",
        "What the logarithm of the measure adds to the R² of predicting the outcome from log LR, "
        "log first loss and log ‖∇L‖, each architecture predicted from the others.",
        -math.inf,
        1,
    ),
    _ranking("speed_loss", "speed at matched loss"),
    _ranking("test", "generalization"),
    _measure(
        "tau_test",
        "overall τ, generalization",
        "Kendall's τ over all runs, nothing held fixed: for contrast with ψ only.",
        -1,
        1,
    ),
    _ranking("test_loss", "generalization at matched loss"),
]


def quantity(relation: Relation) -> str:
    """The measure's name, marked if rescaling changes it."""
    item = relation.item
    return f"{item.quantity}{' ' + RESCALES if item.measure.rescales else ''}"


def headline_rows(relations: Sequence[Relation]) -> frozenset[str]:
    """The labels of the rows of `HEADLINE` measures."""
    return frozenset(quantity(r) for r in relations if r.item.measure.key in HEADLINE)


def cells(relations: Sequence[Relation], varying: Sequence[str]) -> pd.DataFrame:
    """A row for every measure, block and column: `Table.cells` with the key ``quantity``."""
    blocks = {tuple(r.block.values()) for r in relations if r.block}
    shown = [r for r in relations if r.block or len(blocks) > 1]
    rows: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for relation in sorted(shown, key=lambda r: bool(r.block)):
        where = relation.block or dict.fromkeys(BLOCK, ALL)
        row = rows.setdefault((*where.values(), quantity(relation)), {})
        row |= _row(relation, relations)
    built = [
        {**dict(zip([*BLOCK, "quantity"], key, strict=True)), "measure": measure.key, **cell}
        for key, row in rows.items()
        for measure in MEASURES
        for cell in [row.get(measure.key, _cell(math.nan, 0, "not estimable"))]
    ]
    frame = pd.DataFrame(built, columns=[*BLOCK, "quantity", "measure", *CELL])
    return frame.drop(columns=[key for key in BLOCK if key not in varying])


def _row(relation: Relation, relations: Sequence[Relation]) -> dict[str, dict[str, Any]]:
    name = relation.outlook
    cells = {f"psi_{name}": _ranked(relation)}
    if name in ("speed", "test"):
        cells[f"tau_{name}"] = _plain(relation.overall, relation.runs, _tied(relation))
    if name == "speed":
        cells["error_speed"] = _plain(relation.worst_error, relation.psi.n, _NO_RANKS)
        cells["added_r2_speed"] = _added(relation, relations)
    return cells


def _tied(relation: Relation) -> str:
    return "all runs tie" if relation.runs > 1 else "no reading in time"


def _added(relation: Relation, relations: Sequence[Relation]) -> dict[str, Any]:
    own = relations_for(relations, relation.item.measure.key, relation.outlook)
    whole = next(r for r in own if not r.block)
    if relation.block and len(own) > 2:
        return _cell(math.nan, 0, "not estimable: one architecture")
    few = "one architecture" if len(own) <= 2 else "too few runs"
    return _plain(whole.added_r2, whole.runs, few)


_NO_RANKS = "no two normalizers have both a reading in time and an outcome"


def _ranked(relation: Relation) -> dict[str, Any]:
    psi = relation.psi
    if math.isnan(psi.estimate):
        return _cell(math.nan, 0, f"not estimable: {_NO_RANKS}")
    notes = [f"p = {psi.p:.2g}"] if psi.p <= ALPHA else []
    if notes and relation.item.measure.key in HEADLINE:
        notes = [f"{notes[0]}, after Holm {relation.p_holm:.2g}"]
    if math.isnan(psi.detectable):
        notes += ["no interval: too few normalizers with readings in the same places for any test"]
    bounds = (math.nan, math.nan) if math.isnan(psi.detectable) else (psi.low, psi.high)
    return {
        **_cell(psi.estimate, psi.n, "; ".join(notes)),
        **dict(zip(("low", "high"), bounds, strict=True)),
        "p": psi.p,
        "p_holm": relation.p_holm if relation.item.measure.key in HEADLINE else math.nan,
    }


def _plain(value: float, n: int, why: str) -> dict[str, Any]:
    """A number without an interval."""
    return _cell(value, n, "" if math.isfinite(value) else f"not estimable: {why}")


def _cell(estimate: float, n: int, note: str) -> dict[str, Any]:
    empty = {"low": math.nan, "high": math.nan, "best": False, "tested": False, "reference": ""}
    return {"estimate": estimate, "n": n, **empty, "note": note, **NO_CONTRAST._asdict()}
