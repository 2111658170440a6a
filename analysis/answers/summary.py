"""Three to five sentences of findings for the first screen, each chosen and worded by rule.

First how many verdicts there are of each kind; then up to three claims that are decided in most
architectures, in the claims' order of weight; then whether smoothness predicts speed; then how the
runs ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from analysis.answers.effects import effects_named
from analysis.answers.tally import PHASES, headline
from analysis.text import TESTED, Answer, Finding, Label, Part, Sentence, State, count, counted

MOST = 3
"""Claims that have a sentence."""
_CLAUSES: dict[tuple[str, str], tuple[str, str]] = {
    ("C1", "faster"): (
        "Batch normalization needs fewer steps to the target loss than no normalization",
        "Batch normalization needs more steps to the target loss than no normalization",
    ),
    ("C7", ""): (
        "Gradients change less along the gradient with batch normalization",
        "Gradients change more along the gradient with batch normalization",
    ),
    ("C6", "in nats"): (
        "The loss varies less along the gradient with batch normalization",
        "The loss varies more along the gradient with batch normalization",
    ),
    ("C2", "moments"): (
        "Batch normalization hardly slows the moments of activations",
        "Batch normalization slows the moments of activations to less than half",
    ),
    ("C5", "size"): (
        "Gradient ICS with batch normalization is similar or larger",
        "Gradient ICS with batch normalization is smaller",
    ),
    ("C3", "trains nearly as well"): (
        "Noisy batch normalization trains nearly as well as batch normalization",
        "Noisy batch normalization trains worse than batch normalization",
    ),
    ("C4", "prevents training"): (
        "The noise alone prevents training",
        "The noise alone does not prevent training",
    ),
    ("C8", "effective β"): (
        "Effective β is smaller with batch normalization",
        "Effective β is larger with batch normalization",
    ),
    ("C10", "train as well"): (
        "Normalization by other norms trains as well as batch normalization",
        "Normalization by other norms trains worse than batch normalization",
    ),
    ("C11", ""): (
        "Batch normalization admits larger learning rates",
        "Batch normalization admits only smaller learning rates",
    ),
}
"""What a supported and a contradicted part of a claim say, the weightiest first."""


_KINDS = (
    "Supported",
    "Supported in part",
    "Mixed",
    "Contradicted in part",
    "Contradicted",
    "Undecided",
    "Not estimable",
)
"""All headlines of a verdict, in the order in which they are counted."""


def summary(answers: Sequence[Answer], ended: Sentence) -> list[Sentence]:
    """Three to five sentences; ``ended`` says how the runs ended."""
    found = [found for each in _CLAUSES if (found := _claim(each, answers))]
    decided = [sentence for _, sentence in sorted(found, key=lambda one: -one[0])[:MOST]]
    if not decided:
        decided = [("No claim is decided: the runs are too few, or have no data for it.",)]
    foretold = [built for answer in answers if answer.key == "Q8" and (built := _first(answer))]
    return [*decided, *foretold, (*_counts(answers), " ", *ended)]


def _claim(each: tuple[str, str], answers: Sequence[Answer]) -> tuple[int, Sentence] | None:
    """In how many blocks a part of a claim is decided, and the sentence; None where in none."""
    key, part = each
    findings = [f for a in answers if a.key == key for f in a.findings if f.part == part]
    blocks = list(dict.fromkeys(f.block for f in findings if f.block))
    built: list[Part] = []
    decided: set[str] = set()
    for state, clause in zip(("supported", "contradicted"), _CLAUSES[each], strict=True):
        own = [f for f in findings if f.state == state]
        if own:
            tested = sum(f.state in TESTED for f in findings)
            where = _where(f"summary/{key}/{part}", own, blocks, tested)
            built += [". " if built else "", clause, *where]
            decided |= {f.block for f in own}
    return (len(decided), (*built, " (", Label(key), ").")) if built else None


def _where(key: str, findings: Sequence[Finding], blocks: Sequence[str], tested: int) -> Sentence:
    """``, late: in 2 of 3 architectures (A, B), ratio 0.030 to 0.15, in 4 of 9 comparisons``."""
    own = list(dict.fromkeys(f.block for f in findings))
    phases = [PHASES[p] for p in PHASES if any(f.phase == p for f in findings)]
    stem = f"{key}/{findings[0].state}"
    built: Sentence = (f", {' and '.join(phases)}",) if phases else ()
    built = (*built, ": in ", count(f"{stem}/blocks", len(own)), " of ")
    built = (*built, *counted(f"{stem}/of", len(blocks), "architecture"))
    if len(own) < len(blocks):
        names = [part for block in own for part in (", ", Label(block))]
        built = (*built, " (", *names[1:], ")")
    built = (*built, *effects_named(stem, findings))
    if len(findings) == tested:
        return built
    built = (*built, ", in ", count(f"{stem}/decided", len(findings)), " of ")
    return (*built, *counted(f"{stem}/tested", tested, "comparison"))


def _first(answer: Answer) -> Sentence:
    """The first sentence of an answer that has been estimated; empty else."""
    first: list[Part] = []
    for part in answer.verdict:
        if isinstance(part, str) and part.startswith("Not estimable"):
            return ()
        end = part.find(". ") if isinstance(part, str) else -1
        first.append(str(part)[:end] if end >= 0 else part)
        if end >= 0:
            break
    last = first[-1]
    if isinstance(last, str):
        first[-1] = last.removesuffix(".")
    return ("Smoothness and speed: of", *_after_of(first), " (", Label(answer.key), ").")


def _after_of(parts: Sequence[Part]) -> Sentence:
    """A sentence that begins with “Of”, without it."""
    start = parts[0]
    return (start.removeprefix("Of") if isinstance(start, str) else start, *parts[1:])


def _counts(answers: Sequence[Answer]) -> Sentence:
    """How many claims, part by part, have which verdict."""
    kinds: Counter[str] = Counter()
    for answer in (a for a in answers if a.key[0] in "CK"):
        for part in dict.fromkeys(f.part for f in answer.findings if f.state != "shown"):
            states: Counter[State] = Counter(f.state for f in answer.findings if f.part == part)
            tested = any(states[s] for s in TESTED)
            kinds[headline(states) if tested else "Not estimable"] += 1
    built: Sentence = ("Of ", count("summary/verdicts", sum(kinds.values())), " verdicts on claims")
    for i, kind in enumerate(kind for kind in _KINDS if kinds[kind]):
        number = count(f"summary/verdicts/{kind.lower()}", kinds[kind])
        built = (*built, ", " if i else ": ", number, f" {kind.lower()}")
    return (*built, ".")
