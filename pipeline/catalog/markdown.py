"""The catalog as a page: every part with its options; of normalizers, source and traits too."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pipeline.catalog import registry as catalog
from pipeline.catalog.declarations import Part

_LISTED = 200
"""Names at most that a listing has of a family."""
_INTRODUCTION = """\
# Normalizers

Made by `python -m pipeline.catalog normalizers` from the code; a test keeps it in step. Formula,
axes and options of each stand below as in its docstring. Names are those of a sweep file; a list of
names is a composition.

Where a docstring says that evaluation uses running averages, it uses exact means over training
batches in their place while the averages still hold more than 1 % of their start, and always where
training draws noise: see [choices](choices.md#evaluation), with the gap of each normalizer.
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
    own = [part for part in parts if part.name.partition("/")[0] not in catalog.FAMILIES]
    width = max(len(part.name) for part in own)
    lines = [
        f"{part.name:{width}}  {part.summary}\n{'':{width}}  {_options(part, mark='')}".rstrip()
        for part in own
    ]
    families: dict[str, list[str]] = {}
    for part in parts:
        if part not in own:
            family, _, member = part.name.partition("/")
            families.setdefault(family, []).append(member)
    return "\n".join(lines + [_family(*each) for each in families.items()])


def _family(family: str, members: Sequence[str]) -> str:
    if len(members) > _LISTED:
        listed = f"{len(members)} names, which {family}.list_models() lists"
    else:
        listed = ", ".join(members)
    start = f"{family}/<name>  "
    text = f"{start}Any classifier of {family}: {listed}."
    return textwrap.fill(text, 100, subsequent_indent=" " * len(start), break_on_hyphens=False)


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


_TRAITS = {
    "true_gradient": "backward is not the gradient",
    "minimum_spatial_size": "not at 1x1",
    "host_state": "no CUDA graph",
}


def _options(part: Part, mark: str = "`") -> str:
    return ", ".join(
        f"{mark}{name}{'' if option.required else f'={_written(option.default)}'}{mark}"
        for name, option in part.options.items()
    )


def _written(value: Any) -> str:
    """A default as YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)
