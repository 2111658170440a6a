"""Does a measure foretell speed and generalization? Table 4, and the words that it allows.

Wording, by rule: a measure *predicts* an outcome if, in every block, ψ's interval is above 0 and
the permutation p is at most 5 % after Holm's correction over the measures of `HEADLINE`, for one
outcome in one block; its sign-error is below one half in the worst environment; and it adds to the
R² of predicting one architecture from the others. Else it is *associated in k of K* blocks; else
there is *no evidence*, and the largest ψ of a block is said beside the ψ that its test could tell
from none. Never is it said to cause.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from analysis.metrics import Probed
from analysis.reductions import BLOCK
from analysis.statistics import ALPHA, Psi
from analysis.statistics import (
    estimates as stats,
)
from analysis.statistics import (
    rank_correlation as ranks,
)
from analysis.statistics import (
    regression as regress,
)
from analysis.tables.prediction_targets import (
    Arena,
    Outlook,
    Readings,
    controls,
    outlooks,
    with_halfway,
)
from pipeline.seeds import derive

HEADLINE = (
    "landscape_gradient_difference_relative_early",
    "landscape_loss_range_relative_early",
    "landscape_effective_beta_early",
    "curvature_lambda_max_early",
    "gradient_ics_relative_early",
)
"""What is asked to foretell outcomes: the paper's smoothness and its shift. The declared family."""

Kind = Literal["predicts", "associated", "opposed", "no evidence", "not estimable"]


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A measure against an outcome; in one block, or in all (``block`` empty).

    Attributes:
        psi: granulated Kendall ψ; larger: what is better by the measure is better in the outcome.
        overall: Kendall's τ over runs with nothing held fixed, for contrast; runs: how many.
        worst_error: the sign-error of the worst environment (block × learning rate).
        added_r2: of predicting each architecture from the others; over all blocks only.
        p_holm, p_below_holm: ψ's tests after Holm over the family; uncorrected outside it.
    """

    item: Probed
    outlook: str
    block: Mapping[str, str]
    psi: Psi
    overall: float
    runs: int
    worst_error: float = math.nan
    added_r2: float = math.nan
    p_holm: float = math.nan
    p_below_holm: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What may be said: in ``blocks`` of ``of`` blocks.

    Attributes:
        largest: the largest ψ of a block. detectable: the ψ from which on that block's test rejects
        whatever the other measures of the family give; NaN if it cannot.
    """

    kind: Kind
    blocks: int
    of: int
    largest: float = math.nan
    detectable: float = math.nan


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
    family = max(1, sum(item.measure.key in HEADLINE for item in items))
    for outlook in outlooks(runs, training):
        for item in items:
            values = readings.read(item, outlook.at)
            alpha = ALPHA / (family if item.measure.key in HEADLINE else 1)
            found += related(item, outlook, values, arena, held, seed, alpha)
    return corrected(found)


def corrected(found: Sequence[Relation]) -> list[Relation]:
    """The same with Holm's correction over `HEADLINE`, for each outcome in each block."""
    families: dict[tuple[str, ...], list[int]] = {}
    for i, relation in enumerate(found):
        if relation.item.measure.key in HEADLINE:
            where = (relation.outlook, *relation.block.values())
            families.setdefault(where, []).append(i)
    fixed = list(found)
    for places in families.values():
        above = stats.holm([found[i].psi.p for i in places])
        below = stats.holm([found[i].psi.p_below for i in places])
        for i, p, p_below in zip(places, above, below, strict=True):
            fixed[i] = replace(found[i], p_holm=float(p), p_below_holm=float(p_below))
    return fixed


def related(
    item: Probed,
    outlook: Outlook,
    values: pd.Series,
    arena: Arena,
    held: np.ndarray,
    seed: int,
    alpha: float = ALPHA,
) -> list[Relation]:
    """One measure (``values``, larger is better) and outcome in every block; over all, last."""
    one, two = arena.ranked(values), arena.ranked(outlook.value)
    found = []
    for block in [*dict.fromkeys(arena.blocks), ()]:
        own = np.array([not block or block == name for name in arena.blocks])
        words = ("psi", item.measure.key, outlook.name, *block)
        psi = ranks.psi(one[own], two[own], np.random.default_rng(derive(seed, *words)), alpha)
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
                p_holm=psi.p,
                p_below_holm=psi.p_below,
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
    blocks = [relation for relation in found if relation.block]
    whole = next((relation for relation in found if not relation.block), None)
    known = [own for own in blocks if math.isfinite(own.psi.estimate)]
    if whole is None or not known:
        return Verdict(kind="not estimable", blocks=0, of=len(blocks))
    above = sum(own.psi.low > 0 and own.p_holm <= ALPHA for own in known)
    below = sum(own.psi.high < 0 and own.p_below_holm <= ALPHA for own in known)
    holds = above == len(blocks) and whole.worst_error < 0.5 and whole.added_r2 > 0
    kind: Kind = "no evidence"
    if holds:
        kind = "predicts"
    elif above:
        kind = "associated"
    elif below:
        kind = "opposed"
    top = max(known, key=lambda own: own.psi.estimate).psi
    return Verdict(
        kind=kind,
        blocks=above if above else below,
        of=len(blocks),
        largest=top.estimate,
        detectable=top.detectable,
    )


def relations_for(found: Sequence[Relation], key: str, outlook: str) -> list[Relation]:
    """The relations of one measure (by key) and one outcome."""
    return [r for r in found if r.item.measure.key == key and r.outlook == outlook]
