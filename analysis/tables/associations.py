"""Does a measure foretell speed and generalization? Table 4, and the words that it allows.

Wording, by rule: a measure *predicts* an outcome if, in every block, ψ's interval is above 0 and
the permutation p is at most 5 %; its sign-error is below one half in the worst environment; and it
adds to the R² of predicting one architecture from the others. Else it is *associated in k of K*
blocks; else there is *no evidence*, and the smallest detectable ψ is said. Never is it said to
cause.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.metrics import Probed
from analysis.reductions.over_steps import BLOCK
from analysis.statistics import rank_correlation as ranks
from analysis.statistics import regression as regress
from analysis.statistics.rank_correlation import ALPHA, Psi
from analysis.tables.prediction_targets import (
    Arena,
    Outlook,
    Readings,
    controls,
    outlooks,
    with_halfway,
)
from pipeline.training.seeds import derive

Kind = Literal["predicts", "associated", "opposed", "no evidence", "not estimable"]


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A measure against an outcome; in one block, or in all (``block`` empty).

    Attributes:
        psi: granulated Kendall ψ; larger: what is better by the measure is better in the outcome.
        overall: Kendall's τ over runs with nothing held fixed, for contrast; runs: how many.
        worst_error: the sign-error of the worst environment (block × learning rate).
        added_r2: of predicting each architecture from the others; over all blocks only.
    """

    item: Probed
    outlook: str
    block: Mapping[str, str]
    psi: Psi
    overall: float
    runs: int
    worst_error: float = math.nan
    added_r2: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What may be said: in ``blocks`` of ``of`` blocks; and ψ that could have been detected."""

    kind: Kind
    blocks: int
    of: int
    detectable: float


def relations(
    items: Sequence[Probed],
    probes: dict[str, pd.DataFrame],
    runs: pd.DataFrame,
    training: pd.DataFrame,
    seed: int,
) -> list[Relation]:
    """Every measure against every outcome, in every block and over all of them."""
    if runs.empty:
        return []
    runs, found = with_halfway(runs, training), []
    held, readings, arena = controls(runs, probes), Readings(probes, runs), Arena(runs)
    for outlook in outlooks(runs, training):
        for item in items:
            values = readings.read(item, outlook.at)
            found += related(item, outlook, values, arena, held, seed)
    return found


def related(
    item: Probed,
    outlook: Outlook,
    values: pd.Series,
    arena: Arena,
    held: np.ndarray,
    seed: int,
) -> list[Relation]:
    """One measure (``values``, larger is better) and outcome in every block; over all, last."""
    one, two = arena.ranked(values), arena.ranked(outlook.value)
    found = []
    for block in [*dict.fromkeys(arena.blocks), ()]:
        own = np.array([not block or block == name for name in arena.blocks])
        words = ("psi", item.measure.key, outlook.name, *block)
        psi = ranks.psi(one[own], two[own], np.random.default_rng(derive(seed, *words)))
        tau, count = ranks.overall(one[own], two[own])
        errors = ranks.sign_errors(one[own], two[own], arena.names[own])
        added = math.nan
        if not block:
            added = regress.added_r2(outlook.value, held, _logged(values), arena.architectures)
        found.append(
            Relation(
                item=item,
                outlook=outlook.name,
                block=dict(zip(BLOCK, block, strict=True)) if block else {},
                psi=psi,
                overall=tau,
                runs=count,
                worst_error=max(errors.values(), default=math.nan),
                added_r2=added,
            )
        )
    return found


def _logged(values: pd.Series) -> np.ndarray:
    """Logarithm of a positive measure, its sign kept; others as they are."""
    sizes = values.abs().to_numpy()
    known = values.dropna()
    if (known > 0).all() or (known < 0).all():
        with np.errstate(divide="ignore"):
            return np.log(sizes)
    return values.to_numpy(float)


def verdict(found: Sequence[Relation]) -> Verdict:
    """What the relations of one measure and one outcome allow to say."""
    blocks = [relation.psi for relation in found if relation.block]
    whole = next((relation for relation in found if not relation.block), None)
    known = [psi for psi in blocks if math.isfinite(psi.estimate)]
    detectable = whole.psi.detectable if whole else math.nan
    if whole is None or not known:
        return Verdict(kind="not estimable", blocks=0, of=len(blocks), detectable=detectable)
    above = sum(psi.low > 0 and psi.p <= ALPHA for psi in known)
    below = sum(psi.high < 0 and psi.p_below <= ALPHA for psi in known)
    holds = above == len(blocks) and whole.worst_error < 0.5 and whole.added_r2 > 0
    kind: Kind = "no evidence"
    if holds:
        kind = "predicts"
    elif above:
        kind = "associated"
    elif below:
        kind = "opposed"
    count = above if above else below
    return Verdict(kind=kind, blocks=count, of=len(blocks), detectable=detectable)


def of(found: Sequence[Relation], key: str, outlook: str) -> list[Relation]:
    """The relations of one measure (by key) and one outcome."""
    return [r for r in found if r.item.measure.key == key and r.outlook == outlook]
