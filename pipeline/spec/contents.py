"""What the locations of a sweep's settings contain: a digest each, read once per sweep.

A location is an option annotated ``Location``: where data is. Its key is the option's key path in a
cell's settings (``data.path``). Importing this costs no torch.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.catalog import PARTS, file_of_class
from pipeline.catalog import registry as catalog
from pipeline.cli import SpecError, redact

if TYPE_CHECKING:
    from pipeline.data._digest import Content

SECTIONS = {
    "data": "data",
    "architecture": "architectures",
    "normalizer": "normalizers",
    "probes": "probes",
}
"""The kind of part that each section of a cell's settings names."""
_PATIENCE = 20.0
"""Seconds within which a remote location must list its files, or it cannot be read from here."""


class Location(NamedTuple):
    """One location of a cell."""

    key: str
    part: str
    value: str


def locations(settings: Mapping[str, Any]) -> Iterator[Location]:
    """All locations of a cell's settings."""
    for section in SECTIONS:
        yield from _section_locations(section, settings[section])


def name_of(location: str) -> str:
    """The last path component, without what a URI has of users and queries; never empty."""
    scheme, separator, rest = location.rpartition("://")
    if separator:
        rest = rest.partition("?")[0].partition("#")[0].rpartition("@")[2]
        return PurePosixPath(rest).name or f"{scheme}://"
    return PurePosixPath(_absolute(location)).name or "/"


def content_of(location: Location) -> Content | None:
    """Read what a location contains; None where it cannot be read from this machine.

    Raises:
        ValueError: if it can, and is not what its dataset reads.
    """
    if "://" in location.value and not location.value.startswith(("file://", "local://")):
        return _read_remote(location)
    value = file_of_class(location.value)[0] if location.part in PARTS else location.value
    return _content(location) if os.path.exists(_absolute(value)) else None


class Contents:
    """Reads each location of a sweep's settings once."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, str], str | None] = {}
        self._sections: dict[tuple[str, int], dict[str, str]] = {}
        self._seen: list[Any] = []
        """The settings that ``_sections`` knows by their ids, which nothing else may take."""

    def digests(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """The digests of a cell's locations by key; those that cannot be read are left out.

        Raises:
            SpecError: if what is there is not what its dataset reads, or two locations cannot be
                told apart.
        """
        found: dict[str, str] = {}
        for section in SECTIONS:
            found |= self.section_digests(section, settings[section])
        return found

    def section_digests(self, section: str, config: Any) -> dict[str, str]:
        """The digests of one section's locations."""
        key = (section, id(config))
        if key not in self._sections:
            self._seen.append(config)
            every = list(_section_locations(section, config))
            found = {location.key: self._digest(location) for location in every}
            self._sections[key] = {where: digest for where, digest in found.items() if digest}
        return self._sections[key]

    def _digest(self, location: Location) -> str | None:
        known = (location.part, location.value)
        if known not in self._digests:
            try:
                content = content_of(location)
            except ValueError as error:
                raise SpecError(redact(str(error)), location.key) from None
            self._digests[known] = content.digest if content else None
            if content is None:
                self._refuse_twin(location)
        return self._digests[known]

    def _refuse_twin(self, location: Location) -> None:
        """Refuse a second location of the same name where neither can be read."""
        name = name_of(location.value)
        for part, value in self._digests:
            same = part == location.part and name_of(value) == name
            if same and self._digests[part, value] is None and not _is_same(value, location.value):
                raise SpecError(
                    f"{redact(value)} and {redact(location.value)} cannot be read from here, and "
                    f"their last parts are both {name}; give them different last parts, or run "
                    "this where they can be read",
                    location.key,
                )

    def names(self) -> dict[str, str]:
        """What labels call a location: its last part, or as many as tell different data apart."""
        groups: dict[str, dict[str, str]] = defaultdict(dict)
        for (_, value), digest in self._digests.items():
            groups[name_of(value)][value] = digest or name_of(value)
        names: dict[str, str] = {}
        for name, group in groups.items():
            alone = len(set(group.values())) == 1
            names |= dict.fromkeys(group, name) if alone else _distinct(list(group))
        return names


def _section_locations(section: str, config: Any) -> Iterator[Location]:
    kind = SECTIONS[section]
    if section == "probes":
        parts = [(f"probes.{name}", name, options) for name, options in config.items()]
    elif isinstance(config, list):
        parts = [(f"{section}[{i}]", each["name"], each) for i, each in enumerate(config)]
    else:
        parts = [(section, config["name"], config)]
    for key, name, options in parts:
        for option in catalog.parts(kind)[name].options.values():
            if option.location:
                yield from _values(f"{key}.{option.name}", name, options[option.name])


def _values(key: str, part: str, value: str | list[str] | None) -> Iterator[Location]:
    if isinstance(value, list):
        for i, each in enumerate(value):
            yield Location(f"{key}[{i}]", part, each)
    elif value is not None:
        yield Location(key, part, value)


def _content(location: Location) -> Content:
    from pipeline.data._digest import content  # here: most sweeps name no location

    return content(location.part, location.value)


def _read_remote(location: Location) -> Content | None:
    """Read a remote location, as far as it answers; its client may try for minutes."""
    answer: list[bool] = []

    def ask() -> None:
        import fsspec

        try:
            system, root = fsspec.url_to_fs(location.value)
            answer.append(bool(system.ls(root, detail=False)))
        except Exception:  # of any client's kind: the location cannot be read from here
            answer.append(False)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return _content(location) if answer == [True] else None


def _absolute(location: str) -> str:
    location = location.removeprefix("file://").removeprefix("local://")
    return os.path.abspath(os.path.expanduser(location))


def _is_same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/") or (
        "://" not in one + other and _absolute(one) == _absolute(other)
    )


def _distinct(values: list[str]) -> dict[str, str]:
    """Each location's last path components, as few as make all different."""
    parts = {value: _components(value) for value in values}
    for count in range(2, max(map(len, parts.values())) + 1):
        names = {value: "/".join(own[-count:]) for value, own in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {value: "/".join(own) for value, own in parts.items()}


def _components(location: str) -> tuple[str, ...]:
    if "://" in location:
        rest = redact(location).rpartition("://")[2].partition("?")[0]
        return PurePosixPath(rest.rpartition("@")[2]).parts
    return PurePosixPath(_absolute(location)).parts[1:]
