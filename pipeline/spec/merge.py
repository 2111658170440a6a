"""What a value of the grid keeps of base: nothing that base gives is dropped without a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.cli import SpecError


def is_merged(section: str, steps: Sequence[str]) -> bool:
    """Whether a mapping at a dotted key changes what it gives alone: ``training``, or a probe."""
    return (section == "training" and not steps) or (section == "probes" and len(steps) == 1)


def merged(section: str, steps: Sequence[str], base: Any, value: Any) -> Any:
    """A mapping for ``training`` or for a probe changes the keys that it has, and no others.

    Args:
        section: the first word of the dotted key.
        steps: its other words.
        base: the section's settings so far.
        value: what the grid, or an extra cell, gives.
    """
    if is_merged(section, steps):
        for step in steps:
            base = base.get(step) if isinstance(base, dict) else None
        return _over(base, value)
    if section == "probes" and not steps and isinstance(base, dict) and isinstance(value, dict):
        return {name: _over(base.get(name), options) for name, options in value.items()}
    return value


def keeps(key: Sequence[str], value: Any, below: Sequence[str]) -> bool:
    """Whether a value of the grid leaves to base what stands below the grid's key.

    Args:
        key: the words of the grid's dotted key.
        value: one of its values.
        below: the words of the setting's key behind those.
    """
    if key == ["probes"] and len(below) > 1 and isinstance(value, dict):
        key, value, below = ["probes", below[0]], value.get(below[0]), below[1:]
    merges = is_merged(key[0], key[1:]) and isinstance(value, dict)
    return merges and bool(below) and below[0] not in value


def _over(base: Any, value: Any) -> Any:
    return {**base, **value} if isinstance(base, dict) and isinstance(value, dict) else value


def refuse_dropped(section: str, base: Any, whole: Any, where: str) -> None:
    """Refuse a value for a whole section that lacks what base gives and that is not its choice.

    That are other probes, and options that base gives to the same part, an optimizer too.

    Raises:
        SpecError: at the value's key path ``where``.
    """
    if section == "probes" and isinstance(whole, dict):
        if lost := [name for name in base if name not in whole]:
            right = "give them here too, or vary probes.NAME instead of all probes"
            raise SpecError(f"drops {', '.join(lost)} of the file's probes; {right}", where)
    elif section == "training":
        before, after = (_optimizer(each) for each in (base, whole))
        _refuse_dropped_options(before, after, f"{where}.optimizer")
    else:
        _refuse_dropped_options(base, whole, where)


def _optimizer(training: Any) -> Any:
    return training.get("optimizer") if isinstance(training, dict) else None


def _refuse_dropped_options(base: Any, whole: Any, where: str) -> None:
    given = {member["name"]: member for member in _named(base)}
    for member in _named(whole):
        lost = [key for key in given.get(member["name"], ()) if key not in member]
        if lost:
            problem = f"drops {', '.join(lost)} that base gives to {member['name']}"
            right = f"give {lost[0]} here too, or not in base"
            raise SpecError(f"{problem}; {right}", where)


def _named(config: Any) -> Iterator[Mapping[str, Any]]:
    """The parts of a section that are named, bare names as mappings."""
    for member in config if isinstance(config, list) else [config]:
        named = {"name": member} if isinstance(member, str) else member
        if isinstance(named, dict) and isinstance(named.get("name"), str):
            yield named
