"""Where a study's numbers come from, and what in its files does not fit together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

_FACTS = ("commit", "device", "lock", "data_digest", "versions", "precision", "deterministic")
_ARITHMETIC = {
    "device": "devices",
    "precision": "precisions",
    "deterministic": "deterministic modes",
}
"""Facts on which a number's last bits depend, in words for cells that mix them."""
_CELL = re.compile(r"[^\s]*cells/[^/\s]+/|\bcell [0-9a-f]+")


def study_facts(result: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance that a study sums up; a fact that a result does not know is left out."""
    known = {key: result["provenance"].get(key) for key in _FACTS}
    known["versions"] = dict(known["versions"] or {})
    known["sources"] = dict(result["provenance"].get("sources") or {})
    if result["cost"]["peak_memory_bytes"] is None:  # on GPUs the host's threads change no number
        known["threads"] = result["provenance"].get("threads")
    if own := result["provenance"].get("own_loop"):
        unmeasured = [f"{name} {why}" for name, why in own["unmeasured"].items()]
        known["notes"] = [*own["notes"], *unmeasured]
    known["is_sealed"] = "sha256" in result
    if known["device"] and (kind := result["provenance"].get("device_type")):
        known["device"] = f"{known['device']} ({kind})"
    return {key: value for key, value in known.items() if value is not None}


def provenance(facts: Mapping[str, dict[str, Any]], data: Mapping[str, str]) -> dict[str, Any]:
    """Commits, devices, locks, versions and digests of data and code of cells, each sorted.

    ``threads`` has the numbers of CPU threads by processor, of cells that ran on CPUs.

    Args:
        facts: by cell, of `of`. data: the cells' data labels.
    """
    seen = {
        f"{key}s": sorted({str(fact[key]) for fact in facts.values() if key in fact})
        for key in ("commit", "device", "lock")
    }
    for key, name in _ARITHMETIC.items():
        if found := {str(fact[key]) for fact in facts.values() if key in fact}:
            seen[name.replace(" ", "_")] = sorted(found)
    versions = {item for fact in facts.values() for item in fact["versions"].items()}
    digests = {cell: fact["data_digest"] for cell, fact in facts.items() if "data_digest" in fact}
    pairs = {(str(data[cell]), digest) for cell, digest in digests.items()}
    sources = {item for fact in facts.values() for item in fact["sources"].items()}
    threads = {(str(f.get("device")), f["threads"]) for f in facts.values() if "threads" in f}
    return {
        **seen,
        "versions": _gathered(versions),
        "data_digests": _gathered(pairs),
        "sources": _gathered(sources),
        "threads": _gathered(threads),
    }


def _gathered(pairs: set[tuple[str, Any]]) -> dict[str, list[str]]:
    keys = sorted({key for key, _ in pairs})
    return {key: sorted({str(value) for k, value in pairs if k == key}) for key in keys}


def inconsistent(planned: pd.DataFrame, facts: Mapping[str, dict[str, Any]]) -> list[str]:
    """What does not fit together in a study.

    Sweeps whose cells are of different commits, or of different bytes under one data label; and
    cells of different devices, precisions or deterministic modes, which share tables.
    """
    lines = [line for key in _ARITHMETIC if (line := _mixed(key, facts))]
    for sweep, cells in planned.groupby("sweep"):
        data = cells.set_index("cell_id")["data"]
        data = {cell: data[cell] for cell in data.index if cell in facts}
        found = provenance({cell: facts[cell] for cell in data}, data)
        if len(found["commits"]) > 1:
            lines.append(f"sweep {sweep}: cells of {len(found['commits'])} commits are mixed")
        lines += [
            f"sweep {sweep}: {name} has {len(digests)} different contents (data digests)"
            for name, digests in found["data_digests"].items()
            if len(digests) > 1
        ]
    return lines


def unsealed(facts: Mapping[str, dict[str, Any]]) -> list[str]:
    """A line on results that have no digest of their own: of earlier versions, or edited."""
    count = sum(not fact["is_sealed"] for fact in facts.values())
    if not count:
        return []
    return [
        f"results without a digest of their own: {count} cells, made by an earlier version, or "
        "edited by hand; nothing tells whether their numbers are as they were written"
    ]


def own_loops(facts: Mapping[str, dict[str, Any]]) -> list[str]:
    """What a reader must know of cells that a loop of one's own made, a line per note."""
    seen = Counter(note for fact in facts.values() for note in fact.get("notes", ()))
    return [f"own loop ({count} cells): {note}" for note, count in sorted(seen.items())]


def mixed(found: Mapping[str, Any]) -> list[str]:
    """What makes cells differ beside their settings and their devices: code and CPU threads.

    Args:
        found: of `provenance`.
    """
    lines = []
    sources = [f"{k} ({len(v)} versions)" for k, v in found["sources"].items() if len(v) > 1]
    if sources:
        lines.append(
            f"cells made by different code are mixed: {', '.join(sources)}; run python -m "
            "pipeline.sweep FILE --rerun-changed"
        )
    lines += [
        f"cells computed with {' and '.join(counts)} CPU threads are mixed ({device}): their "
        "numbers differ; keep resources.cpus the same"
        for device, counts in found["threads"].items()
        if len(counts) > 1
    ]
    return lines


def _mixed(key: str, facts: Mapping[str, dict[str, Any]]) -> str:
    """One line with the number of cells of each value, or nothing where all are alike."""
    seen = Counter(str(fact[key]) for fact in facts.values() if key in fact)
    if len(seen) < 2:
        return ""
    shares = ", ".join(f"{seen[value]} of {value}" for value in sorted(seen))
    relation = "differ by rounding" if key == "device" else "are not computed alike"
    mixed = f"{_ARITHMETIC[key]} are mixed (cells: {shares})"
    return f"{mixed}: numbers {relation}, times do not compare"


def gathered(problems: Sequence[str]) -> list[str]:
    """One line for problems that differ in their cell alone: the first, and how many more."""
    kinds: dict[str, list[str]] = {}
    for line in sorted(problems):
        kinds.setdefault(_CELL.sub("", line), []).append(line)
    return [_line(lines) for lines in kinds.values()]


def _line(lines: list[str]) -> str:
    more = len(lines) - 1
    return f"{lines[0]} (and {more} more cell{'s' if more > 1 else ''} so)" if more else lines[0]
