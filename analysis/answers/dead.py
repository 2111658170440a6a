"""Claims about runs that fail: they diverge, or end at the loss at chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from analysis.answers.absent import no_normalizer
from analysis.answers.evidence import Block, Evidence, estimate
from analysis.answers.question import answer
from analysis.statistics import estimates
from analysis.text import (
    Answer,
    Claim,
    Finding,
    Label,
    Number,
    Part,
    Sentence,
    State,
    count,
)

FAILS = (
    "A run fails if it diverges or ends above 0.95 of the loss at chance. At each learning rate at "
    "which half or more of the runs of none fail: as claimed if the interval of the difference of "
    "the shares that fail (none minus batch, Newcombe's) is above zero, against it if below."
)
_PART = "at rates where none fails"


def where_none_fails(evidence: Evidence) -> list[Finding]:
    """By block and rate: whether batch trains where none fails."""
    names = [evidence.label("none"), evidence.label("batch")]
    if None in names:
        lacks = "none" if names[0] is None else "batch"
        claim = Claim(no_normalizer(lacks))
        return [Finding(state="not estimable", claim=claim, part=_PART)]
    pair = (str(names[0]), str(names[1]))
    return [finding for block in evidence.blocks for finding in _failing(block, *pair)]


def _failing(block: Block, none: str, batch: str) -> Iterator[Finding]:
    found = [
        f for lr in sorted(set(block.runs_of(none)["lr"])) for f in _at(block, lr, none, batch)
    ]
    if found:
        yield from found
        return
    sentence: Sentence = (
        Label(block.name),
        ": not estimable: no learning rate of the grid at which half of the runs of ",
        Label(none),
        " fail: add larger ones to training.lr",
    )
    yield Finding(state="not estimable", claim=Claim(sentence), part=_PART, block=block.name)


def _at(block: Block, lr: float, none: str, batch: str) -> Iterator[Finding]:
    shares, sentence = [], list[Part]([Label(block.name), ": at LR "])
    stem = f"answers/C1/{block.name}/fails/LR {lr:g}"
    sentence += [Number(f"{stem}/lr", lr, f"{lr:g}")]
    for name in (none, batch):
        own = block.runs_of(name)
        dead = own.loc[own["lr"] == lr, "dead"].astype(bool)
        shares.append(estimates.wilson(int(dead.sum()), len(dead)))
        sentence += [", " if name == none else " and ", count(f"{stem}/{name}", int(dead.sum()))]
        sentence += [" of ", count(f"{stem}/{name}/runs", len(dead)), " runs of ", Label(name)]
    if not shares[1].n or not shares[0].estimate >= 0.5:
        return
    apart = estimates.apart(*shares)
    state: State = "open"
    if apart.low > 0 or apart.high < 0:
        state = "supported" if apart.low > 0 else "contradicted"
    claim = Claim((*sentence, " fail, a difference of ", *estimate(f"{stem}/share", apart[:3], 2)))
    numbers: dict[str, Any] = {"effect": apart.estimate, "low": apart.low, "high": apart.high}
    at: dict[str, Any] = {
        "part": _PART,
        "measure": "share that fails",
        "unit": "of runs",
        "block": block.name,
        "lr": lr,
    }
    yield Finding(state=state, claim=claim, **at, **numbers)


def reaching(evidence: Evidence, name: str) -> list[Finding]:
    """By block: whether fewer than half of a normalizer's runs reach the target."""
    part, label = "prevents training", evidence.label(name)
    if label is None:
        claim = Claim(no_normalizer(name))
        return [Finding(state="not estimable", claim=claim, part=part)]
    return [_reaching(block, label, part) for block in evidence.blocks if len(block.runs_of(label))]


def _reaching(block: Block, label: str, part: str) -> Finding:
    runs = block.runs_of(label)
    if runs["level"].isna().all():
        reason = Claim((Label(block.name), ": not estimable: no run of the block trained"))
        return Finding(state="not estimable", claim=reason, part=part, block=block.name)
    reached = int((runs["reached"].notna() & (runs["status"] == "ok") & ~runs["dead"]).sum())
    share = estimates.wilson(reached, len(runs))
    state: State = "open"
    if share.high < 0.5 or share.low > 0.5:
        state = "supported" if share.high < 0.5 else "contradicted"
    stem = f"answers/C4/{block.name}"
    sentence: Sentence = (
        Label(block.name),
        ": ",
        count(f"{stem}/reached", reached),
        " of ",
        count(f"{stem}/runs", len(runs)),
        " runs of ",
        Label(label),
        " reach the target, a share of ",
        *estimate(f"{stem}/share", share[:3], 2),
    )
    numbers: dict[str, Any] = {"effect": share.estimate, "low": share.low, "high": share.high}
    where: dict[str, Any] = {
        "part": part,
        "measure": "share that reaches the target",
        "unit": "of runs",
        "block": block.name,
    }
    return Finding(state=state, claim=Claim(sentence), **where, **numbers)


def larger_rates(evidence: Evidence) -> Answer:
    """C11: the largest learning rate at which no run fails."""
    rule = (
        "As claimed if the largest learning rate of the grid at which no run diverges or ends at "
        "the loss at chance is larger for batch, against it if smaller; it has no interval. Equal "
        "ones, at the top of the grid above all, decide nothing."
    )
    text = "Batch normalization admits larger learning rates."
    found = [_rates(block, evidence) for block in evidence.blocks]
    return answer("C11", text, rule, found, "table3_training")


def _rates(block: Block, evidence: Evidence) -> Finding:
    names = [evidence.label("batch"), evidence.label("none")]
    known = [name for name in names if name is not None and len(block.runs_of(name))]
    if len(known) < 2 or evidence.measure("largest_stable_lr") is None:
        reason = Claim((Label(block.name), ": not estimable: it needs runs of batch and of none"))
        return Finding(state="not estimable", claim=reason, block=block.name)
    one, other = (evidence.cell("largest_stable_lr", block, name).estimate for name in known)
    one, other = (0.0 if math.isnan(value) else value for value in (one, other))
    state: State = "supported" if one > other else "contradicted" if one < other else "open"
    stem = f"answers/C11/{block.name}"
    sentence: Sentence = (Label(block.name), ": largest stable learning rate ")
    for name, value in zip(known, (one, other), strict=True):
        number = _plain(f"{stem}/{name}", value) if value else ("none",)
        sentence = (*sentence, *(", " if name == known[1] else "",), *number, " with ", Label(name))
    grid = _plain(f"{stem}/top", float(block.runs["lr"].max()))
    claim = Claim((*sentence, "; the grid ends at ", *grid))
    return Finding(state=state, claim=claim, block=block.name, measure="largest stable LR")


def _plain(key: str, value: float) -> Sentence:
    return estimate(key, (value, math.nan, math.nan), 3)
