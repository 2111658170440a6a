"""The rules of each kind of part, and what becomes of a part that raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from pipeline.catalog import Part
from pipeline.catalog import registry as catalog
from pipeline.contract import architecture, dataset, normalizer, optimizer, training
from pipeline.normalizers import Normalizer
from pipeline.package_version import MissingPackage

Rule = Callable[[dict[str, Any]], str]
"""A part's configuration → what is wrong with it; empty if nothing is."""

_RULES: Mapping[str, Mapping[str, Rule]] = {
    "normalizers": {**normalizer.RULES, **training.rules("normalizers")},
    "architectures": {**architecture.RULES, **training.rules("architectures")},
    "optimizers": {**optimizer.RULES, **training.rules("optimizers")},
    "probes": training.probe_rules(),
    "data": dataset.RULES,
}


MADE = "it can be made"
"""The first rule; a part that breaks it is held to no other."""


def problems(kind: str, config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each rule in words, and what is wrong; empty if the part keeps it.

    Raises:
        MissingPackage: if the part needs a package that is not installed.
    """
    part = catalog.parts(kind)[config["name"]]
    problem = _broken(lambda config: _unmade(part, config), config, part)
    yield MADE, problem
    if not problem:
        for words, rule in _RULES[kind].items():
            yield words, _broken(rule, config, part)


def _broken(rule: Rule, config: dict[str, Any], part: Part) -> str:
    """What is wrong, in one line that calls a folder's files as its user does."""
    try:
        found = rule(config)
    except MissingPackage:
        raise
    except (Exception, SystemExit) as error:  # of any kind: it is the part's own code that runs
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return found.replace(part.folder.package, part.folder.prefix) if part.folder else found


def _unmade(part: Part, config: dict[str, Any]) -> str:
    """Why a part cannot be made, or a probe not be imported."""
    before = {name: state() for name, state in _GLOBAL.items()}
    try:
        _MAKE[part.kind](config)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if part.folder and missing.startswith(part.folder.package):
            return f"its folder has no file {missing.removeprefix(part.folder.package)[1:]}"
        raise MissingPackage(f"{part.name} needs the package {missing}: {error}") from None
    changed = [name for name, state in _GLOBAL.items() if state() != before[name]]
    torch.set_default_dtype(before["default dtype"])
    torch.set_grad_enabled(before["gradient mode"])
    return f"it changes torch's {' and '.join(changed)}" if changed else ""


_MAKE: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "normalizers": lambda config: normalizer.block(normalizer.make(config)),
    "architectures": lambda config: architecture.make(config, Normalizer()),
    "optimizers": lambda config: optimizer.Trained(optimizer.make(config)),
    "probes": lambda config: catalog.load(catalog.parts("probes")[config["name"]]),
    "data": lambda config: catalog.make("data", config),
}
_GLOBAL: Mapping[str, Callable[[], Any]] = {
    "default dtype": torch.get_default_dtype,
    "gradient mode": torch.is_grad_enabled,
    "number of threads": torch.get_num_threads,
    "deterministic mode": torch.are_deterministic_algorithms_enabled,
}
"""What a part must leave as it is: all parts of all cells of a process have it in common."""
