"""Mistakes in a sweep file: each in one line, and all of them at once.

Errors are collected where no later check needs them.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

_SHOWN = 20
"""Mistakes that a message lists at most."""


class SpecError(ValueError):
    """A sweep file is wrong, in one line: ``FILE:LINE: key.path: what is wrong; what is right``."""

    def __init__(self, problem: str, key: str = "", place: str = "") -> None:
        super().__init__(problem, key, place)
        self.problem, self.key, self.place = problem, key, place

    def __str__(self) -> str:
        key = "" if self.place.endswith(f"--set {self.key}") else self.key  # once is enough
        text = ": ".join(part for part in (self.place, key, self.problem) if part)
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

    def with_location(self, places: Mapping[str, str]) -> SpecError:
        """Name where the key was written, or else something below it, or the nearest above it."""
        key = self.key
        if key not in places:
            key = next((below for below in places if below.startswith(f"{key}.")), key)
        while key and key not in places:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return SpecError(self.problem, self.key, self.place or places.get(key, ""))


def quoted(value: object) -> str:
    """Write a value as a message quotes it, cut to a readable length."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def kind_of(value: object) -> str:
    """Name a value's kind, as a message does: ``None``, ``a Tensor``."""
    return "None" if value is None else f"a {type(value).__name__}"


_ALL, _NEAR = 20, 5
"""Right names that a message lists: all of so many, or else so many that are near."""


def did_you_mean(name: str, choices: Iterable[str], lists: str = "") -> str:
    """Say the nearest right name, if one is near, and what the right names are.

    Args:
        name: the wrong one.
        choices: the right ones.
        lists: what lists them all, where they are too many for a message.
    """
    known = sorted(choices)
    close = difflib.get_close_matches(name[:100], known, n=_NEAR)
    near = [c for c in known if c.rpartition(".")[2] == name] or close
    hint = f"did you mean {near[0]!r}? " if near else ""
    if len(known) <= _ALL:
        return f"{hint}known: {', '.join(known) or 'none'}"
    listed = ", ".join(close or known[: _NEAR if name else _ALL])
    return f"{hint}known: {listed}, ... ({len(known)} in all{lists and f'; {lists} lists them'})"


class SpecErrors(SpecError):
    """Several mistakes of a sweep file, one line each; as a `SpecError` it is the first of them."""

    def __init__(self, errors: Iterable[SpecError]) -> None:
        self.errors = list(errors)
        super().__init__(self.errors[0].problem, self.errors[0].key, self.errors[0].place)

    def __str__(self) -> str:
        lines = list(dict.fromkeys(map(str, self.errors)))
        more = len(lines) - _SHOWN
        return "\n".join(lines[:_SHOWN] + ([f"… and {more} more mistakes"] if more > 0 else []))

    def with_location(self, places: Mapping[str, str]) -> SpecErrors:
        """Name where each key was written, and put the errors into the order of the file."""
        return SpecErrors(sorted((e.with_location(places) for e in self.errors), key=_line))


def single_errors(error: SpecError) -> list[SpecError]:
    """The mistakes that an error stands for."""
    return error.errors if isinstance(error, SpecErrors) else [error]


def joined(errors: Iterable[SpecError]) -> SpecError:
    """One error for one or several mistakes."""
    found = list(errors)
    return found[0] if len(found) == 1 else SpecErrors(found)


class Mistakes:
    """Collects mistakes; each counts once, however many cells have it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], SpecError] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, error: SpecError) -> None:
        """Collect what an error stands for."""
        for one in single_errors(error):
            self._found.setdefault((one.place, one.key, one.problem), one)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Context manager that collects a mistake and goes on after its block."""
        try:
            yield
        except SpecError as error:
            self.add(error)

    def report(self) -> None:
        """Raise what was collected, if anything.

        Raises:
            SpecError: that has a line for every mistake.
        """
        if self._found:
            raise joined(self._found.values())


def _line(error: SpecError) -> int:
    """The line of a placed error; those of the command line come first."""
    found = re.search(r":([0-9]+)$", error.place)
    return int(found[1]) if found else 0
