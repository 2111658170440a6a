"""What the cells of a study were set to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def seen(results: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """By dotted name (``training.momentum``): the distinct values, as JSON, sorted."""
    values: dict[str, set[str]] = {}
    for result in results:
        for name, value in flat("", result["settings"]):
            values.setdefault(name, set()).add(json.dumps(value, ensure_ascii=False))
    return {name: sorted(values[name]) for name in sorted(values)}


def flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Nested settings by dotted name, below a name."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, value
