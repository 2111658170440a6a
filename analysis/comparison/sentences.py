"""The comparison of two sweeps in words, each number of which is in results.json."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.answers import estimate
from analysis.metrics import Measure
from analysis.study import Study
from analysis.text import Claim, Label, Part, Sentence, count


def lead(here: Study, there: Study, cells: pd.DataFrame, alone: int, same: int) -> list[Sentence]:
    """What is compared, how much of it, and how many changes are significant."""
    known = cells["estimate"].notna()
    runs: Sentence = (
        count("against/runs_here", len(here.runs)),
        " runs of ",
        *_names(here),
        " against ",
        count("against/runs_there", len(there.runs)),
        " of ",
        *_names(there),
        "; cells that are one and the same in both: ",
        count("against/same", same),
        "; rows that only one of them has, which are not compared: ",
        count("against/alone", alone),
        ".",
    )
    significant: Sentence = (
        count("against/told", int(cells["best"].sum())),
        " of ",
        count("against/compared", int(known.sum())),
        " comparisons differ significantly after Holm's correction; ",
        count("against/untestable", int((known & ~cells["testable"].astype(bool)).sum())),
        " have too few runs to test.",
    )
    return [runs, significant]


def _names(study: Study) -> list[Part]:
    parts: list[Part] = []
    for name in study.sweeps:
        parts += [", ", Label(name)]
    return parts[1:]


def verdicts(
    cells: pd.DataFrame, measures: Sequence[Measure], keys: Sequence[str], other: str
) -> list[Claim]:
    """A line for each significant change."""
    known = {measure.key: measure for measure in measures}
    claims = []
    for row in cells[cells["best"].astype(bool)].to_dict("records"):
        measure, name = known[row["measure"]], " ".join(str(row[key]) for key in keys if row[key])
        stem = f"against/{name}/{measure.key}"
        numbers = (row["estimate"], row["low"], row["high"])
        verdict: Sentence = (
            Label(name),
            f": {measure.title} to "
            if measure.title.endswith("ratio")
            else f": {measure.title} from ",
            Label(other),
            ", ",
            *estimate(f"{stem}/change", numbers, measure.digits),
            f" {measure.unit}".rstrip(),
        )
        claims.append(Claim(verdict))
    return claims


_FACTS = (
    "commits",
    "devices",
    "precisions",
    "deterministic_modes",
    "locks",
    "versions",
    "data_digests",
    "sources",
    "threads",
)


def changed(here: Study, there: Study) -> list[tuple[str, str, str]]:
    """Settings and provenance that are not alike: name, values here, values there."""
    one, two = _facts(here), _facts(there)
    names = sorted({*one, *two})
    return [
        (name, one.get(name, "not set"), two.get(name, "not set"))
        for name in names
        if one.get(name) != two.get(name)
    ]


def _facts(study: Study) -> dict[str, str]:
    facts = {name: ", ".join(values) for name, values in study.settings.items()}
    for fact in _FACTS:
        seen = study.provenance.get(fact, [])
        items = seen.items() if isinstance(seen, dict) else [("", seen)]
        facts |= {f"{fact} {name}".strip(): ", ".join(values) for name, values in items}
    return facts
