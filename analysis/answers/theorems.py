"""C12: the two sides of the paper's theorems in the realised networks."""

from __future__ import annotations

import math

import pandas as pd

from analysis.answers.evidence import Block, Evidence, estimate
from analysis.answers.question import answer
from analysis.text import Answer, Claim, Finding, Label, Sentence, count

EQUAL = 1e-2
"""Relative gap up to which a theorem's two sides are equal: float32 and ε > 0 leave some."""
_RULE = (
    "As claimed if the median relative gap of the theorem's two sides is below one per cent: over "
    "probes, of each the median over layers. The largest gap is that of a single layer. The "
    "equalities are algebra: what is tested is how much ε and rounding leave of them."
)


def hold(evidence: Evidence) -> Answer:
    """Both theorems, block by block."""
    text = "The theorems on the layer's gradient and curvature hold on real activations."
    found = [
        finding
        for block in evidence.blocks
        for key, name in (("gap_41", "gradient"), ("gap_42", "curvature"))
        for finding in _gap(block, evidence, key, name)
    ]
    if not found:
        claim = Claim(
            ("not estimable: no run recorded batchnorm_theorems (it needs batch normalization)",)
        )
        found = [Finding(state="not estimable", claim=claim)]
    return answer("C12", text, _RULE, found, "")


def _gap(block: Block, evidence: Evidence, column: str, name: str) -> list[Finding]:
    own = _block_values(evidence.basis.probes["batchnorm_theorems"], block, column)
    single = _block_values(
        evidence.basis.study.reduced.get("layers/batchnorm_theorems", pd.DataFrame()), block, column
    )
    if own.empty:
        return []
    stem = f"answers/C12/{block.name}/{column}"
    middle, largest = float(own.median()), float(single.max())
    sentence: Sentence = (
        Label(block.name),
        f": theorem on the {name}, median relative gap ",
        *estimate(f"{stem}/median", (middle, math.nan, math.nan), 2),
        ", largest of a layer ",
        *estimate(f"{stem}/largest", (largest, math.nan, math.nan), 2),
        " over probes: ",
        count(f"{stem}/probes", len(own)),
    )
    state = "supported" if middle < EQUAL else "contradicted"
    measure = f"gap of the theorem on the {name}"
    return [
        Finding(
            state=state,
            claim=Claim(sentence),
            block=block.name,
            measure=measure,
            effect=middle,
            unit="relative",
        )
    ]


def _block_values(frame: pd.DataFrame, block: Block, column: str) -> pd.Series:
    if column not in frame:
        return pd.Series(dtype=float)
    own = frame["cell_id"].astype(str).isin(block.runs["cell_id"])
    return frame.loc[own, column].dropna().abs()
