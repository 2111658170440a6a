"""The rules of each kind of part, and what becomes of a part that raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.contract import architecture, dataset, normalizer, optimizer, training

Rule = Callable[[dict[str, Any]], str]
"""A part's configuration → what is wrong with it; empty if nothing is."""

_RULES: Mapping[str, Mapping[str, Rule]] = {
    "normalizers": {**normalizer.RULES, **training.of("normalizers")},
    "architectures": {**architecture.RULES, **training.of("architectures")},
    "optimizers": {**optimizer.RULES, **training.of("optimizers")},
    "probes": training.of("probes"),
    "data": dataset.RULES,
}


def problems(kind: str, config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each rule in words, and what is wrong; empty if the part keeps it."""
    for words, rule in _RULES[kind].items():
        try:
            yield words, rule(config)
        except Exception as error:  # of any kind: it is the part's own code that runs
            yield words, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
