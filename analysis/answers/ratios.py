"""Q4 and Q7: questions whose answer is a ratio of batch to none, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from analysis.answers.comparison import find
from analysis.answers.evidence import Evidence, estimate
from analysis.answers.paper_claims import DISTANCE, ICS, OUTPUT, batch, early
from analysis.answers.question import BY_PHASE, answer
from analysis.text import Answer, Claim, Finding, Label, Sentence, count


def original(evidence: Evidence) -> Answer:
    """Q4: the original shift and the new one side by side, and where both differ from one."""
    text = "Does the original covariate shift, of a layer's inputs, tell what the new one tells?"
    rule = (
        "Batch over none in both shifts, early and over all rates. They agree where both are told "
        f"from one on the same side. {BY_PHASE}"
    )
    known = [stem for stem in (DISTANCE, OUTPUT) if evidence.measure(early(stem))]
    if not known or evidence.measure(early(ICS)) is None:
        claim = Claim(("not estimable: it needs gradient_ics, and distribution_ics or moment_ics",))
        return answer("Q4", text, rule, [Finding(state="not estimable", claim=claim)], "")
    stems = (known[0], ICS)
    sides = [find("Q4", batch(stem, "above"), evidence) for stem in stems]
    shown = [f for stem in stems for f in find("Q4", batch(stem, "either"), evidence)]
    verdict = (*_ratios("Q4", stems, "early", evidence), *_agreement(*sides))
    return replace(
        answer("Q4", text, rule, shown, evidence.table_of(early(ICS))),
        verdict=verdict if verdict else ("Not estimable.",),
    )


def _ratios(key: str, stems: Sequence[str], phase: str, evidence: Evidence) -> Sentence:
    """By measure and block the ratio of batch to none over all rates, with its interval."""
    labels = [evidence.label("batch"), evidence.label("none")]
    sentence: Sentence = ()
    for measure in (evidence.measure(f"{stem}_{phase}") for stem in stems):
        if measure is None or None in labels:
            continue
        own: Sentence = ()
        for block in evidence.blocks:
            contrast = evidence.contrast(measure.key, block, str(labels[0]), str(labels[1]))
            stem = f"answers/{key}/{block.name}/{measure.key}/ratio"
            number = estimate(stem, contrast[:3], measure.digits)
            known = math.isfinite(contrast.effect)
            number = number if known else ("not estimable",)
            own = (*own, "; " if own else "", Label(block.name), " ", *number)
        title = f"{measure.title[:1].upper()}{measure.title[1:]}, batch over none: "
        sentence = (*sentence, " " if sentence else "", title, *own, ".")
    return sentence


def _agreement(one: Sequence[Finding], other: Sequence[Finding]) -> Sentence:
    """In how many blocks, phases and rates two measures differ from one on the same side."""
    found = [{(f.block, f.phase, f.lr): f.state for f in own} for own in (one, other)]
    told = ("supported", "contradicted")
    both = [
        (state, found[1][where])
        for where, state in found[0].items()
        if state in told and found[1].get(where) in told
    ]
    if not both:
        return (" In no comparison do both differ from one.",)
    agree = count("answers/Q4/agree", sum(a == b for a, b in both))
    of = count("answers/Q4/both", len(both))
    return (" They agree in ", agree, " of ", of, " comparisons in which both differ from one.")


_SPEEDS = (OUTPUT, "moment_output_log_std_shift")
_AFTER = ("moment_ics_mean_shift", "moment_ics_log_std_shift")


def speeds(evidence: Evidence) -> Answer:
    """Q7: the ratio of speeds before the normalizer; after it they are small by construction."""
    rule = (
        "A number, no verdict: batch over none, before the normalizer; over all rates in the first "
        "line, at each rate and in each phase below. After batch normalization a unit's moments "
        "are β and γ by construction: its speed there is theirs, and is no finding."
    )
    found = [f for stem in _SPEEDS for f in find("Q7", batch(stem, "either"), evidence)]
    after = [f for stem in _AFTER for f in find("Q7", batch(stem, "either"), evidence)]
    found += [_by_construction(finding) for finding in after if finding.state == "shown"]
    verdict = _ratios("Q7", _SPEEDS, "early", evidence)
    late = _ratios("Q7", _SPEEDS, "late", evidence)
    asked = answer(
        "Q7",
        "How fast do the moments of activations change, with batch normalization against none?",
        rule,
        found,
        evidence.table_of(early(OUTPUT)),
    )
    return replace(asked, verdict=(*verdict, " ", *late) if verdict else ("Not estimable.",))


def _by_construction(finding: Finding) -> Finding:
    verdict = ("By construction: ", *finding.claim.verdict)
    return replace(finding, claim=replace(finding.claim, verdict=verdict))
