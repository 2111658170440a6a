"""A part as the catalog makes it, if what it returns is of its kind."""

from __future__ import annotations

from typing import Any, TypeVar

from pipeline.catalog import registry as catalog

T = TypeVar("T")


def made_as(kind: str, config: dict[str, Any], expected: type[T], *arguments: Any) -> T:
    """What a part's function returns.

    Raises:
        TypeError: if that is something else.
    """
    found = catalog.make(kind, config, *arguments)
    if not isinstance(found, expected):
        name = expected.__name__
        article = "an" if name[0] in "AEIOU" else "a"
        raise TypeError(f"it returns a {type(found).__name__}, not {article} {name}")
    return found
