"""Exclusion rules: which cells of its grid a sweep leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipeline.catalog import find, parts, resolve
from pipeline.cli import SpecError, did_you_mean, quoted
from pipeline.spec.optimizer import optimizer_of
from pipeline.spec.read import KINDS
from pipeline.spec.schema import DOTTED, SECTIONS
from pipeline.spec.training import resolve_training

Settings = Mapping[str, Any]
Rule = Callable[[Settings], bool]
_KINDS = {**KINDS, "optimizer": "optimizers"}


def rule(keys: Mapping[str, Any], where: str, points: Sequence[Settings]) -> Rule:
    """Make a test of resolved settings that holds where every key of the rule matches.

    ``normalizer: group`` matches that part under any options, ``{name: group, groups: 8}`` under
    these, a list a composition of as many; ``architecture.width: 0.5`` any part with that option.

    Args:
        keys: dotted keys and the values that they match.
        where: the rule's key path.
        points: the settings of the grid, which say whose options a dotted key may name.

    Raises:
        SpecError: if a key or a value cannot match any cell, whatever the grid's values.
    """
    tests = [_test(key, value, where, points) for key, value in keys.items()]
    return lambda settings: all(test(settings) for test in tests)


def _test(key: str, value: Any, where: str, points: Sequence[Settings]) -> Rule:
    section, _, rest = key.partition(".")
    if section not in SECTIONS:
        raise SpecError(f"no such setting; {did_you_mean(key, DOTTED)}", f"{where}.{key}")
    if section == "training":
        own, _, option = rest.partition(".")
        if own == "optimizer" and option:
            return _option_test("optimizer", option, value, where, points)
        return _training_test({rest: value} if rest else value, f"{where}.training")
    if section == "probes":
        return _probe_test(rest, value, f"{where}.probes")
    if rest:
        return _option_test(section, rest, value, where, points)
    return _part_test(section, value, f"{where}.{section}")


def _training_test(given: Any, where: str) -> Rule:
    pattern = resolve_training(given, where, partial=True)
    optimizer = pattern.pop("optimizer", {})

    def test(settings: Settings) -> bool:
        training = settings["training"]
        own = optimizer_of(training) if optimizer else {}
        return _matches(pattern, training) and _matches(optimizer, own)

    return test


def _part_test(section: str, value: Any, where: str) -> Rule:
    listed = enumerate(value) if isinstance(value, list) else [(None, value)]
    patterns = [
        resolve(KINDS[section], config, where if i is None else f"{where}[{i}]", partial=True)
        for i, config in listed
    ]

    def test(settings: Settings) -> bool:
        members = _members(settings, section)
        pairs = zip(patterns, members, strict=False)
        return len(patterns) == len(members) and all(_matches(p, m) for p, m in pairs)

    return test


def _option_test(
    section: str, option: str, value: Any, where: str, points: Sequence[Settings]
) -> Rule:
    kind = _KINDS[section]
    names = {member["name"] for settings in points for member in _members(settings, section)}
    known = {key for name in names for key in parts(kind)[name].options}
    place = f"{where}.training.optimizer" if section == "optimizer" else f"{where}.{section}"
    if option not in known:
        problem = f"no {section} of this sweep has the option {quoted(option)}"
        raise SpecError(f"{problem}; {did_you_mean(option, known)}", f"{place}.{option}")
    owner = min(name for name in names if option in parts(kind)[name].options)
    pattern = resolve(kind, {"name": owner, option: value}, place, partial=True)
    del pattern["name"]
    return lambda settings: any(_matches(pattern, m) for m in _members(settings, section))


def _probe_test(rest: str, value: Any, where: str) -> Rule:
    name, _, option = rest.partition(".")
    find("probes", name, f"{where}.{name}")
    given = {option: value} if option else value
    if not isinstance(given, dict):
        raise SpecError(f"must be a mapping of options, not {quoted(value)}", f"{where}.{name}")
    pattern = resolve("probes", {**given, "name": name}, f"{where}.{name}", partial=True)
    del pattern["name"]
    return lambda settings: _matches(pattern, settings["probes"].get(name, {}))


def _members(settings: Settings, section: str) -> list[Settings]:
    if section == "optimizer":
        return [optimizer_of(settings["training"])]
    found = settings[section]
    return found if isinstance(found, list) else [found]


def _matches(pattern: Settings, settings: Settings) -> bool:
    return all(key in settings and settings[key] == value for key, value in pattern.items())


def excluded(rules: Iterable[Rule], settings: Settings) -> bool:
    """Whether any rule leaves the settings out."""
    return any(holds(settings) for holds in rules)
