"""How labels name settings: those that vary, as ``name=value``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def varying(all_settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the settings that differ, or that some have and others have not, sorted."""
    seen: dict[str, set[str]] = {}
    times: dict[str, int] = {}
    count = 0
    for settings in all_settings:
        count += 1
        for name, value in settings.items():
            seen.setdefault(name, set()).add(repr(value))
            times[name] = times.get(name, 0) + 1
    return sorted(name for name in seen if len(seen[name]) > 1 or times[name] < count)


def varying_training(trainings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the training settings that differ, sorted; ``lr`` has a label of its own."""
    return [name for name in varying(trainings) if name != "lr"]


def label(settings: Mapping[str, Any], names: Iterable[str]) -> str:
    """Some settings as ``name=value, name=value``; what is not set is left out."""
    return ", ".join(f"{name}={written(settings[name])}" for name in names if name in settings)


def written(value: Any) -> str:
    """A value as a label has it: a word as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
