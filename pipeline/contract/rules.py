"""The rules of each kind of part, and what becomes of a part that raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.catalog import registry as catalog
from pipeline.contract import architecture, dataset, normalizer, optimizer, training
from pipeline.normalizers import Normalizer
from pipeline.package_version import MissingPackage

Rule = Callable[[dict[str, Any]], str]
"""A part's configuration → what is wrong with it; empty if nothing is."""

_RULES: Mapping[str, Mapping[str, Rule]] = {
    "normalizers": {**normalizer.RULES, **training.of("normalizers")},
    "architectures": {**architecture.RULES, **training.of("architectures")},
    "optimizers": {**optimizer.RULES, **training.of("optimizers")},
    "probes": training.of("probes"),
    "data": dataset.RULES,
}


MADE = "it can be made"
"""The first rule; a part that breaks it is held to no other."""


def problems(kind: str, config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each rule in words, and what is wrong; empty if the part keeps it.

    Raises:
        MissingPackage: if the part needs a package that is not installed.
    """
    problem = _broken(lambda config: _unmade(kind, config), config)
    yield MADE, problem
    if not problem:
        for words, rule in _RULES[kind].items():
            yield words, _broken(rule, config)


def _broken(rule: Rule, config: dict[str, Any]) -> str:
    try:
        return rule(config)
    except MissingPackage:
        raise
    except Exception as error:  # of any kind: it is the part's own code that runs
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _unmade(kind: str, config: dict[str, Any]) -> str:
    """Why a part cannot be made, or a probe not be imported."""
    part = catalog.parts(kind)[config["name"]]
    try:
        if kind == "architectures":
            architecture.make(config, Normalizer())
        elif kind == "probes":
            catalog.load(part)
        else:
            catalog.make(kind, config)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if part.folder and missing.startswith(part.folder.package):
            return f"its folder has no file {missing.removeprefix(part.folder.package)[1:]}"
        raise MissingPackage(f"{part.name} needs the package {missing}: {error}") from None
    return ""
