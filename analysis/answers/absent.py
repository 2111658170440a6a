"""What a grid lacks for an answer, and what to add to it."""

from __future__ import annotations

from analysis.reductions import View
from analysis.text import Label, Sentence


def no_normalizer(name: str) -> Sentence:
    """``not estimable: the study has no noise; add noise to normalizer``."""
    return (
        "not estimable: the study has no ",
        Label(name),
        "; add ",
        Label(name),
        " to the grid's normalizer",
    )


def no_architecture(scope: str) -> Sentence:
    """The same of a kind of architecture."""
    return (f"not estimable: the study has no {scope}; add one to the grid's architecture",)


def no_records(title: str, view: View) -> str:
    """Which records are wanting, and the probe that makes them."""
    where = f" {view.of}" if view.of else ""
    return f"{title}: no run recorded {view.description}; add {view.table}{where} to probes"
