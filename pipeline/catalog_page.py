"""The catalog as a page: every part with its options; of normalizers, source and traits too."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields
from typing import Any

from pipeline import catalog
from pipeline.catalog import Part

_INTRODUCTION = """\
# Normalizers

Made by `python -m pipeline.catalog normalizers` from the code; a test keeps it in step. Formula,
axes and options of each stand below as in its docstring. Names are those of a sweep file; a list of
names is a composition.
"""


def normalizers_page() -> str:
    """The whole of ``docs/normalizers.md``: an overview, then each normalizer's own words."""
    parts = catalog.parts("normalizers").values()
    rows = ["| name | source | traits | options |", "|---|---|---|---|"]
    rows += [
        f"| [`{part.name}`](#{part.name}) | {_source(part)} | {_traits(part)} | {_options(part)} |"
        for part in parts
    ]
    sections = [f"## {part.name}\n\n```text\n{_words(part)}\n```" for part in parts]
    return "\n".join([_INTRODUCTION, *rows, "", "\n\n".join(sections), ""])


def listing(kind: str) -> str:
    """The parts of a kind, a line each: name, what it is, its options with their defaults."""
    parts = catalog.parts(kind).values()
    width = max(len(part.name) for part in parts)
    return "\n".join(
        f"{part.name:{width}}  {part.summary}\n{'':{width}}  {_options(part, mark='')}".rstrip()
        for part in parts
    )


def _words(part: Part) -> str:
    return inspect.getdoc(catalog.load(part)) or ""


def _source(part: Part) -> str:
    found = re.search(r"^Source: (.+?)(?:\n\n|\Z)", _words(part), re.MULTILINE | re.DOTALL)
    return " ".join(found.group(1).split()) if found else ""


def _traits(part: Part) -> str:
    """Those of the normalizer's default form that are not every normalizer's, in words."""
    traits: Any = catalog.load(part)().traits
    changed = [f.name for f in fields(traits) if getattr(traits, f.name) != f.default]
    return ", ".join(_TRAITS.get(name, name.replace("_", " ")) for name in changed)


_TRAITS = {"true_gradient": "backward is not the gradient", "minimum_spatial_size": "not at 1x1"}


def _options(part: Part, mark: str = "`") -> str:
    return ", ".join(
        f"{mark}{name}{'' if option.required else f'={_written(option.default)}'}{mark}"
        for name, option in part.options.items()
    )


def _written(value: Any) -> str:
    """A default as YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)
