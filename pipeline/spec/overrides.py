"""``--set KEY=VALUE``: changes to a sweep file from the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.cli import Mistakes, SpecError, did_you_mean, quoted
from pipeline.spec.merge import is_merged, keeps
from pipeline.spec.schema import DOTTED, Base, SweepFile
from pipeline.spec.yaml_reader import parse


def assign(settings: Any, steps: Sequence[str], value: Any, where: str) -> Any:
    """Copy settings with the value at a path replaced; a bare part name becomes ``{name: ...}``.

    Raises:
        SpecError: at the key path ``where``, if something on the path is no mapping.
    """
    if not steps:
        return value
    if isinstance(settings, list):
        problem = f"{quoted(settings)} is a list; give it anew, with the option in its element"
        raise SpecError(problem, where)
    if isinstance(settings, str):
        settings = {"name": settings}
    if not isinstance(settings, dict | None):
        raise SpecError(f"{quoted(settings)} has no option {quoted(steps[0])}; leave it out", where)
    settings = settings or {}
    return {**settings, steps[0]: assign(settings.get(steps[0]), steps[1:], value, where)}


def override(data: dict[str, Any], changes: Iterable[str], places: dict[str, str]) -> Any:
    """Apply ``KEY=VALUE`` changes to a file's data, and note in ``places`` where they come from.

    A KEY whose first word is no key of a file's top level lies under ``base``.
    """
    mistakes = Mistakes()
    for change in changes:
        with mistakes.collected():
            data = _changed(data, change, places)
    mistakes.report()
    return data


def _changed(data: Any, change: str, places: dict[str, str]) -> Any:
    key, sign, written = change.partition("=")
    place = f"{places['']}: --set {key}"
    if not sign:
        raise SpecError("has no value; give it as KEY=VALUE", place=place)
    steps = split_key(key, place)
    return assign_leaves(data, steps, _value(written, ".".join(steps), place), places, place)


def assign_leaves(
    data: Any, steps: list[str], value: Any, places: dict[str, str], place: str
) -> Any:
    """Copy a file's data with a value put in that comes from ``place``, which ``places`` notes.

    A mapping for ``training`` or for a probe changes the keys that it has, and no others, as it
    does in the grid (`pipeline.spec.merge`).
    """
    for path, leaf in _leaves(steps, value):
        data = _assign_with_location(data, path, leaf, places, place)
    return data


def _assign_with_location(
    data: Any, steps: list[str], value: Any, places: dict[str, str], place: str
) -> Any:
    """`assign`, and note in ``places`` that this value and all below it stand at ``place``."""
    where = ".".join(steps)
    for below in [p for p in places if p.startswith((f"{where}.", f"{where}["))]:
        del places[below]
    places[where] = place
    return assign(data, steps, value, where)


def _leaves(steps: list[str], value: Any) -> list[tuple[list[str], Any]]:
    section, *rest = steps[1:] if steps[0] == "base" and len(steps) > 1 else steps
    if is_merged(section, rest) and isinstance(value, dict) and value:
        return [([*steps, name], option) for name, option in value.items()]
    return [(steps, value)]


def reject_ineffective_overrides(
    changes: Iterable[str], grid: Mapping[str, Sequence[Any]], place: str
) -> None:
    """Refuse a change below base that cannot act, because the grid sets that key in every cell."""
    for change in changes:
        key = change.partition("=")[0]
        dotted = key.removeprefix("base.")
        for varied, values in grid.items():
            if dotted != varied and not dotted.startswith(f"{varied}."):
                continue
            below = dotted.removeprefix(varied).split(".")[1:]
            if not any(keeps(varied.split("."), value, below) for value in values):
                right = f"--set 'grid.{varied}=[...]'"
                problem = f"has no effect, since the grid varies {varied}; use {right}"
                raise SpecError(problem, place=f"{place}: --set {key}")


def split_key(key: str, place: str) -> list[str]:
    """The steps of a dotted key; one that names nothing of a file's top level lies under base."""
    first, _, rest = key.partition(".")
    if first == "grid" and rest:
        return [first, rest]
    if first in SweepFile.model_fields:
        return key.split(".", 3)
    if first not in Base.model_fields:
        known = {*DOTTED, *SweepFile.model_fields}
        raise SpecError(f"no such key; {did_you_mean(key, known)}", place=place)
    return ["base", *key.split(".", 2)]


def _value(written: str, path: str, place: str) -> Any:
    try:
        return parse(written, place)[0]
    except SpecError as error:
        raise SpecError(f"the value {error.problem}", path, place) from None
