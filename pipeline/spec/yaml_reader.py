"""Strict YAML: one mapping, plain data, no surprises, and the line on which every key stands.

Scalars follow YAML 1.2's core schema in decimal: ``1e-3`` is a float, only true and false are
booleans (``no``, ``on``, ``yes`` are words), and what looks like a date, a base-60 or an octal
number is a word. Tags, duplicate keys and second documents are refused; anchors, aliases and ``<<``
work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline.cli import SpecError, did_you_mean, quoted

MAX_BYTES = 2**20
MAX_DEPTH = 20
MAX_VALUES = 250_000  # aliases written out, so that no file grows beyond what it shows

# The C parser is ten times faster; a PyYAML built without it reads the same language.
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Not a character of YAML: control characters, surrogates, non-characters.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def read_yaml(path: str | Path) -> tuple[Any, dict[str, int]]:
    """Read a file into plain data and the line of every key path (``grid.training.lr[1]``).

    Raises:
        SpecError: if the file cannot be read or is not such YAML.
    """
    place = str(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        beside = [str(p) for p in Path(path).parent.glob("*.yaml")]
        hint = f"; {did_you_mean(place, beside)}" if beside else ""
        raise SpecError(f"no such file{hint}", place=place) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"cannot be read: {reason}; give a YAML file", place=place) from None
    if len(content) > MAX_BYTES:
        raise SpecError("is larger than 1 MiB; a sweep file is a page of YAML", place=place)
    return parse(_decoded(content, place), place)


def parse(text: str, place: str) -> tuple[Any, dict[str, int]]:
    """Read YAML text; ``place`` is what errors call it."""
    if found := _FORBIDDEN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        problem = f"the character U+{ord(found[0]):04X} is not allowed; remove it"
        raise SpecError(problem, place=f"{place}:{line}")
    builder = _Builder(yaml.parse(text, Loader=_PARSER), place)
    try:
        return builder.document(), builder.lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        where = f"{place}:{mark.line + 1}" if mark else place
        raise SpecError(f"is not valid YAML: {problem}", place=where) from None


def _decoded(content: bytes, place: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise SpecError(problem, place=f"{place}:{line}") from None


class _Anchored(NamedTuple):
    """What an alias stands for, and what writing it out would cost."""

    value: Any
    values: int
    height: int


class _Builder:
    """Builds plain data from one document's events; it constructs no other object.

    Events, not the nodes of `yaml.compose`: the C parser composes nodes by recursion, and 50,000
    open brackets crash the process before any limit on depth can count.
    """

    def __init__(self, events: Iterable[yaml.Event], place: str) -> None:
        self.events: Iterator[Any] = iter(events)
        self.place = place
        self.lines: dict[str, int] = {}
        self.anchors: dict[str, _Anchored | None] = {}  # None: not complete yet
        self.values = 0

    def document(self) -> Any:
        """Build the only document, without which or beside which nothing may stand."""
        next(self.events)  # stream start
        if isinstance(next(self.events), yaml.StreamEndEvent):
            raise SpecError("is empty; write the settings as YAML", place=self.place)
        value, _ = self._node(next(self.events), "", 0)
        next(self.events)  # document end
        if not isinstance(after := next(self.events), yaml.StreamEndEvent):
            raise self._error(after, "", "a second document starts here; keep one to a file")
        return value

    def _node(self, event: Any, key: str, depth: int) -> tuple[Any, int]:
        """Build a value at a key path and return it with its height, 0 for a scalar."""
        self.lines.setdefault(key, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, key, depth)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._error(event, key, f"the tag {tag} is not allowed; remove it")
        self._grow(event, key, 1, depth)
        before = self.values
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            value, height = self._scalar(event, key), 0
        elif isinstance(event, yaml.SequenceStartEvent):
            value, height = self._sequence(key, depth)
        else:
            value, height = self._mapping(key, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value, self.values - before + 1, height)
        return value, height

    def _alias(self, event: Any, key: str, depth: int) -> tuple[Any, int]:
        if event.anchor not in self.anchors:
            raise self._error(event, key, f"the alias *{event.anchor} has no anchor before it")
        anchored = self.anchors[event.anchor]
        if anchored is None:
            raise self._error(event, key, f"the alias *{event.anchor} contains itself")
        self._grow(event, key, anchored.values, depth + anchored.height)
        return anchored.value, anchored.height

    def _grow(self, event: Any, key: str, values: int, depth: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            raise self._error(event, key, f"more than {MAX_VALUES} values, aliases written out")
        if depth > MAX_DEPTH:
            raise self._error(event, key, f"nested deeper than {MAX_DEPTH} levels")

    def _sequence(self, key: str, depth: int) -> tuple[list[Any], int]:
        values, height = [], 0
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            value, below = self._node(event, f"{key}[{len(values)}]", depth + 1)
            values.append(value)
            height = max(height, below)
        return values, height + 1

    def _mapping(self, key: str, depth: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        height, merged = 0, {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            name = self._name(event, key, depth)
            path = f"{key}.{name}" if key else name
            if name in values:
                first = self.lines[path]
                raise self._error(event, path, f"given twice, first on line {first}; keep one")
            self.lines[path] = event.start_mark.line + 1
            values[name], below = self._node(next(self.events), path, depth + 1)
            height = max(height, below)
            if name == "<<":
                merged = self._merged(event, path, values[name])
        values.pop("<<", None)
        return {**merged, **values}, height + 1

    def _name(self, event: Any, key: str, depth: int) -> str:
        if not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            raise self._error(event, key, "a list or a mapping is no key; keys are words")
        if isinstance(event, yaml.AliasEvent) or event.tag is not None:
            raise self._error(event, key, "an alias or a tag is no key; keys are words")
        self._grow(event, key, 1, depth)
        name = self._scalar(event, key)
        if not isinstance(name, str):
            raise self._error(event, key, f"the key {quoted(name)} is no word; keys are words")
        return name

    def _merged(self, event: Any, path: str, value: Any) -> dict[str, Any]:
        mappings = value if isinstance(value, list) else [value]
        if not all(isinstance(m, dict) for m in mappings):
            raise self._error(event, path, "<< takes a mapping or a list of mappings")
        return {k: v for mapping in reversed(mappings) for k, v in mapping.items()}

    def _scalar(self, event: Any, key: str) -> Any:
        text = event.value
        if found := _FORBIDDEN.search(text):
            problem = f"the character U+{ord(found[0]):04X} is not allowed; remove it"
            raise self._error(event, key, problem)
        if not event.implicit[0]:  # quoted
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if not _NUMBER.fullmatch(text):
            return text
        if not _INTEGER.fullmatch(text):
            return float(text)
        if len(text) > 18:
            raise self._error(event, key, "an integer of more than 18 characters is too large")
        return int(text)

    def _error(self, event: Any, key: str, problem: str) -> SpecError:
        return SpecError(problem, key, f"{self.place}:{event.start_mark.line + 1}")
