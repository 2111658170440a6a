"""K1–K4: what others found against it, or what they say it leaves open."""

from __future__ import annotations

import math

from analysis.answers.comparison import Comparison, Finding, bounds, find
from analysis.answers.evidence import Block, Evidence, estimate
from analysis.answers.paper_claims import CHANGE, ICS, STEPS, batch, compare
from analysis.answers.question import BY_INTERVAL, answer
from analysis.text.sentences import Answer, Claim, Label, Sentence, State, count

SHALLOW = 8
"""Weight layers up to which a network is called shallow."""


def build(evidence: Evidence) -> list[Answer]:
    """The counter-claims, in their order."""
    return [_shallow(evidence), _curvature(evidence), _smooth_only(evidence), _bounded(evidence)]


def _depths(evidence: Evidence) -> dict[str, int]:
    """Weight layers by architecture, from the records of gradient ICS or of scale-free forms."""
    found: dict[str, int] = {}
    for name in ("gradient_ics", "scale_free", "cross_layer"):
        frame = evidence.basis.study.reduced.get(f"layers/{name}")
        if frame is not None and {"architecture", "layers"} <= set(frame):
            depths = frame.groupby("architecture", observed=True)["layers"].max()
            found = {str(k): int(v) for k, v in depths.items()} | found
    return found


def _shallow(evidence: Evidence) -> Answer:
    text = "Batch normalization does not smooth in shallow networks (Yao et al., PyHessian)."
    rule = (
        f"{BY_INTERVAL} Claimed is that curvature and gradient change are not below those of none. "
        "Shallow: at most eight weight layers."
    )
    depths = _depths(evidence)

    def shallow(block: Block) -> bool:
        return depths.get(block.labels["architecture"], SHALLOW + 1) <= SHALLOW

    found = []
    for measure in (CHANGE, "curvature_eta_lambda_max_early"):
        own = {**vars(batch(measure, "above")), "where": shallow, "scope": "shallow network"}
        found += find("K1", Comparison(**own), evidence)
    return answer("K1", text, rule, found, evidence.table_of(CHANGE))


def _curvature(evidence: Evidence) -> Answer:
    key = "curvature_lambda_max_early"
    text = (
        "The largest eigenvalue does not drop consistently with batch normalization (Kaur et al.)."
    )
    rule = (
        f"{BY_INTERVAL} Claimed is that it is not below that of none: the drop is consistent only "
        "where every block is against the claim."
    )
    return answer(
        "K2", text, rule, find("K2", batch(key, "above"), evidence), evidence.table_of(key)
    )


def _smooth_only(evidence: Evidence) -> Answer:
    text = "Smoothing without reducing covariate shift is not enough (Awais et al.)."
    rule = (
        "Of the normalizers with an effective gradient change below, and a gradient ICS above, "
        "that of none: as claimed where one does not reach the target sooner than none, against it "
        "where it does."
    )
    needed = (CHANGE, ICS, STEPS)
    if any(evidence.measure(key) is None for key in needed) or evidence.label("none") is None:
        said = Claim(("not estimable: it needs landscape, gradient_ics and runs of none",))
        nothing = [Finding(state="not estimable", claim=said)]
        return answer("K3", text, rule, nothing, "")
    found = [f for block in evidence.blocks for f in _smoother(block, evidence)]
    if not found:
        said = Claim(("not estimable: no normalizer smooths without shifting less",))
        found = [Finding(state="not estimable", claim=said)]
    return answer("K3", text, rule, found, evidence.table_of(STEPS))


def _smoother(block: Block, evidence: Evidence) -> list[Finding]:
    """Findings on the normalizers of a block that are smoother than none and shift more."""
    found = []
    for name in block.runs["normalizer"].astype(str).unique():
        if name == "none":
            continue
        sides = [_side(evidence, key, block, name) for key in (CHANGE, ICS, STEPS)]
        if sides[0] == "below" and sides[1] == "above":
            faster = sides[2] == "below"
            words = "and is faster than" if faster else "and is not told to be faster than"
            said: Sentence = (
                Label(block.name),
                ": ",
                Label(name),
                f" is smoother, shifts more, {words} ",
                Label("none"),
            )
            state: State = "contradicted" if faster else "supported"
            found.append(Finding(state=state, claim=Claim(said)))
    return found


def _side(evidence: Evidence, key: str, block: Block, name: str) -> str:
    """Where the ratio to none lies: below 1, above 1, or neither is sure."""
    measure = evidence.measure(key)
    assert measure is not None
    cells = [evidence.cell(key, block, label) for label in (name, "none")]
    low, high = bounds(measure, evidence.contrast(key, block, name, "none"), cells)
    return "below" if high < 1 else "above" if low > 1 else ""


def _bounded(evidence: Evidence) -> Answer:
    text = "Batch normalization bounds covariate shift rather than reducing it (Huang and Yu)."
    rule = (
        f"{BY_INTERVAL} Claimed is that gradient ICS is not below that of none, early. "
        "Beside it, how it grows from the first to the second half of training: a number without "
        "an interval, which decides nothing."
    )
    found = find("K4", compare(ICS, "batch", "none", "above"), evidence)
    late = "gradient_ics_relative_late"
    if evidence.measure(late) is not None:
        found += [f for block in evidence.blocks for f in _growth(block, evidence, late)]
    return answer("K4", text, rule, found, evidence.table_of(ICS))


def _growth(block: Block, evidence: Evidence, late: str) -> list[Finding]:
    """How much the shift of batch grew, against that of none; without an interval."""
    cells = {
        name: (evidence.cell(ICS, block, name).estimate, evidence.cell(late, block, name).estimate)
        for name in ("batch", "none")
    }
    if any(not math.isfinite(value) or value <= 0 for pair in cells.values() for value in pair):
        return []
    said: Sentence = (Label(block.name), ": late over early gradient ICS ")
    growth = {name: after / before for name, (before, after) in cells.items()}
    for name, value in growth.items():
        stem = f"answers/K4/{block.name}/growth/{name}"
        said = (*said, *estimate(stem, (value, math.nan, math.nan), 3), " with ", Label(name), ", ")
    runs = count(f"answers/K4/{block.name}/runs", len(block.runs))
    return [Finding(state="shown", claim=Claim((*said, "over ", runs, " runs of the block")))]
