"""K1–K4: what others found against it, or what they say it leaves open."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from analysis.answers.comparison import Comparison, Side, find
from analysis.answers.evidence import Block, Evidence, estimate
from analysis.answers.paper_claims import CHANGE, ICS, STEPS, batch, compare, early, half
from analysis.answers.question import BY_INTERVAL, BY_PHASE, Question, answer, ask
from analysis.tables import contrasts
from analysis.text import Answer, Claim, Finding, Label, Sentence, State

SHALLOW = 8
"""Weight layers up to which a network is called shallow."""
LAMBDA_MAX = "curvature_lambda_max"


def build(evidence: Evidence) -> list[Answer]:
    """The counter-claims, in their order."""
    return [_shallow(evidence), _curvature(evidence), _smooth_only(evidence), _bounded(evidence)]


def _depths(evidence: Evidence) -> dict[str, int]:
    """Weight layers by architecture, from the records of gradient ICS or of scale-free forms."""
    found: dict[str, int] = {}
    for name in ("gradient_ics", "scale_invariant", "cross_layer"):
        frame = evidence.basis.study.reduced.get(f"layers/{name}")
        if frame is not None and {"architecture", "layers"} <= set(frame):
            depths = frame.groupby("architecture", observed=True)["layers"].max()
            found = {str(k): int(v) for k, v in depths.items()} | found
    return found


def _shallow(evidence: Evidence) -> Answer:
    depths = _depths(evidence)

    def shallow(block: Block) -> bool:
        return depths.get(block.labels["architecture"], SHALLOW + 1) <= SHALLOW

    def of_shallow(measure: str) -> Comparison:
        return replace(batch(measure, "above"), where=shallow, scope="shallow network")

    question = Question(
        key="K1",
        text="Batch normalization does not smooth in shallow networks (Yao et al., PyHessian).",
        rule=f"{BY_PHASE} Claimed is that curvature and gradient change are not below those of "
        "none. Shallow: at most eight weight layers.",
        comparisons=(
            *half("gradient change", of_shallow(CHANGE)),
            *half("curvature", of_shallow(LAMBDA_MAX)),
        ),
    )
    return ask(question, evidence)


def _curvature(evidence: Evidence) -> Answer:
    question = Question(
        key="K2",
        text="The largest eigenvalue does not drop consistently with batch normalization (Kaur et "
        "al.).",
        rule=f"{BY_PHASE} Claimed is that it is not below that of none: the drop is consistent "
        "only where every comparison is against the claim.",
        comparisons=(batch(LAMBDA_MAX, "above"),),
    )
    return ask(question, evidence)


def _smooth_only(evidence: Evidence) -> Answer:
    text = "Smoothing without reducing covariate shift is not enough (Awais et al.)."
    rule = (
        "Of the normalizers with a gradient change below that of none, and a gradient ICS above "
        "it, in some phase at some learning rate and nowhere the reverse: as claimed where one is "
        f"not faster than none, against it where it is. {BY_PHASE} Faster: fewer steps to the "
        f"target. {BY_INTERVAL}"
    )
    needed = (early(CHANGE), early(ICS), STEPS)
    if any(evidence.measure(key) is None for key in needed) or evidence.label("none") is None:
        claim = Claim(("not estimable: it needs landscape, gradient_ics and runs of none",))
        nothing = [Finding(state="not estimable", claim=claim)]
        return answer("K3", text, rule, nothing, "")
    found = _smoother(evidence)
    if not found:
        claim = Claim(("not estimable: no normalizer smooths without shifting less",))
        found = [Finding(state="not estimable", claim=claim)]
    return answer("K3", text, rule, found, evidence.table_of(STEPS))


_SMOOTHER: tuple[tuple[str, Side], ...] = ((CHANGE, "below"), (ICS, "above"), (STEPS, "below"))


def _smoother(evidence: Evidence) -> list[Finding]:
    """Findings on the normalizers that are smoother than none and shift more."""
    found = []
    labels = evidence.basis.runs["normalizer"].astype(str).unique()
    for name in (label for label in labels if label != "none"):
        compared = [
            find("K3", compare(key, name, "none", side), evidence) for key, side in _SMOOTHER
        ]
        for block in evidence.blocks:
            own = [[f for f in findings if f.block == block.name] for findings in compared]
            if _holds(own[0]) and _holds(own[1]) and own[2]:
                found.append(_enough(block, name, own[2][0]))
    return found


def _holds(findings: Iterable[Finding]) -> bool:
    states = {finding.state for finding in findings}
    return "supported" in states and "contradicted" not in states


def _enough(block: Block, name: str, speed: Finding) -> Finding:
    faster = speed.state == "supported"
    words = "and is faster than" if faster else "and is not told to be faster than"
    sentence: Sentence = (Label(block.name), ": ", Label(name))
    sentence = (*sentence, f" is smoother, shifts more, {words} ", Label("none"))
    state: State = "contradicted" if faster else "supported"
    return Finding(state=state, claim=Claim(sentence), block=block.name, measure=speed.measure)


def _bounded(evidence: Evidence) -> Answer:
    question = Question(
        key="K4",
        text="Batch normalization bounds covariate shift rather than reducing it (Huang and Yu).",
        rule=f"{BY_PHASE} Claimed is that gradient ICS is not below that of none. Growth: late "
        "over early ICS of a run; the ratio of two growths is paired and over all rates "
        "(Hodges–Lehmann), and decides nothing.",
        comparisons=(compare(ICS, "batch", "none", "above"),),
    )
    asked = ask(question, evidence)
    return replace(asked, verdict=(*asked.verdict, *_growth(evidence)))


def _growth(evidence: Evidence) -> Sentence:
    """From early to late the shift grew by …: batch against none, block by block."""
    late, labels = f"{ICS}_late", [evidence.label("batch"), evidence.label("none")]
    if evidence.measure(late) is None or evidence.measure(early(ICS)) is None or None in labels:
        return ()
    sentence: Sentence = ()
    for block in evidence.blocks:
        own = _grown(evidence, block, str(labels[0]), str(labels[1]))
        sentence = (*sentence, *(("; ",) if sentence and own else ()), *own)
    return (" Growth of the shift, late over early: ", *sentence, ".") if sentence else ()


def _grown(evidence: Evidence, block: Block, batch_name: str, none: str) -> Sentence:
    columns = [evidence.columns[key][1] for key in (early(ICS), f"{ICS}_late")]
    runs = block.runs.assign(
        **{
            c.value: c.runs.set_index("cell_id")[c.value].reindex(block.runs["cell_id"]).to_numpy()
            for c in columns
        }
    )
    runs = runs.assign(growth=runs[columns[1].value] / runs[columns[0].value])
    sentence: Sentence = (Label(block.name), " ")
    for name in (batch_name, none):
        middle = float(runs.loc[runs["normalizer"] == name, "growth"].median())
        if not math.isfinite(middle):
            return ()
        stem = f"answers/K4/{block.name}/growth/{name}"
        sentence = (
            *sentence,
            *estimate(stem, (middle, math.nan, math.nan), 3),
            " with ",
            Label(name),
            ", ",
        )
    wide = contrasts.paired(runs, "growth", ("lr", "seed"))
    ratio = contrasts.against(wide, none, columns[0].measure, evidence.generator("growth", block))
    effect = ratio.get(batch_name, contrasts.NO_CONTRAST)
    if not math.isfinite(effect.effect):
        return (*sentence, "no pair of runs has both")
    return (*sentence, "ratio ", *estimate(f"answers/K4/{block.name}/growth", effect[:3], 3))
