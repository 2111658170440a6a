"""All mistakes of a sweep file at once: errors are collected where no later check needs them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from pipeline.spec.yaml_reader import SpecError

_SHOWN = 20
"""Mistakes that a message lists at most."""


class SpecErrors(SpecError):
    """Several mistakes of a sweep file, one line each; as a `SpecError` it is the first of them."""

    def __init__(self, errors: Iterable[SpecError]) -> None:
        self.errors = list(errors)
        super().__init__(self.errors[0].problem, self.errors[0].key, self.errors[0].place)

    def __str__(self) -> str:
        lines = list(dict.fromkeys(map(str, self.errors)))
        more = len(lines) - _SHOWN
        return "\n".join(lines[:_SHOWN] + ([f"… and {more} more mistakes"] if more > 0 else []))

    def placed(self, places: Mapping[str, str]) -> SpecErrors:
        """Name where each key was written, and put the errors into the order of the file."""
        return SpecErrors(sorted((e.placed(places) for e in self.errors), key=_line))


def each(error: SpecError) -> list[SpecError]:
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
        for one in each(error):
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
