"""Load a trial's data, and compare their content with what the sweep and other trials read."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.catalog import registry as catalog
from pipeline.cli import redact, redacted
from pipeline.data._sources import is_data_error
from pipeline.spec import (
    SECTIONS,
    Cell,
    Contents,
    Location,
    content_of,
    locations,
    name_of,
    without_directories,
)
from pipeline.store import SCHEMA

if TYPE_CHECKING:
    from pipeline.data import Dataset
    from pipeline.store import Store


def load_data(config: Mapping[str, Any]) -> Dataset:
    """Make a dataset from its settings, with the digests of the files that it has read.

    Raises:
        ValueError: if the data are at fault: such a trial would fail again, on any machine.
    """
    with _data_errors():
        contents = Contents().section_digests("data", config)
        dataset = catalog.make("data", config)
        if Contents().section_digests("data", config) != contents:
            raise ValueError(f"the data changed while they were read: {_described(config)}")
    return replace(dataset, contents=contents)


def check_data(cell: Cell, dataset: Dataset, store: Store) -> dict[str, str]:
    """Compare what a cell reads with what its id was made of, or with what other trials have read.

    Returns:
        The digests of all that it reads, by key; ``data`` is the digest of a dataset without files.

    Raises:
        ValueError: naming both digests, and where each was read.
    """
    found = dict(dataset.contents)
    for section in SECTIONS:
        if section != "data":
            found |= Contents().section_digests(section, cell.settings[section])
    named = {location.key: location for location in locations(cell.settings)}
    for key, digest in found.items():
        if key in cell.contents:
            _compare_with_plan(named[key], digest, cell.contents[key])
        else:
            location = named[key]
            _compare_with_trials(store, [location.part, name_of(location.value)], digest, location)
    # Computed data (floats) may differ in their last bits from machine to machine.
    if not dataset.contents and not dataset.train.inputs.dtype.is_floating_point:
        found["data"] = f"sha256:{dataset.digest}"
        _compare_with_trials(
            store,
            without_directories("data", cell.settings["data"], "data", {}),
            found["data"],
            None,
        )
    return found


def unread(cells: Sequence[Cell]) -> list[Location]:
    """The locations that could not be read when the sweep was, each once."""
    return [each for each, cell in _locations(cells).items() if each.key not in cell.contents]


def data_lines(cells: Sequence[Cell]) -> list[str]:
    """What is remarkable about the data of a sweep: splits that stand in, and what is not here."""
    lines = []
    for location, cell in _locations(cells).items():
        place = f"{location.key}: {redact(location.value)}"
        if location.key not in cell.contents:
            lines.append(
                f"{place} cannot be read from here: its name ({name_of(location.value)}) "
                "identifies it, trials compare its content, and cells have other ids than where "
                "it can be read"
            )
        elif content := content_of(location):
            lines += [f"{location.key}: {redact(note)}" for note in content.notes]
    return lines


def refuse_absent(cells: Sequence[Cell]) -> None:
    """Refuse cells whose local data are not on this machine.

    Raises:
        ValueError: naming the key and the location.
    """
    for location in unread(cells):
        if "://" not in location.value:
            raise ValueError(f"{location.key}: {location.value} does not exist on this machine")


def _locations(cells: Sequence[Cell]) -> dict[Location, Cell]:
    """Every location of a sweep with a cell that has it; cells share their settings."""
    distinct = {tuple(id(cell.settings[each]) for each in SECTIONS): cell for cell in cells}
    return {each: cell for cell in distinct.values() for each in locations(cell.settings)}


@contextmanager
def _data_errors() -> Iterator[None]:
    """Within it, an operating system's error that is the data's fault is a ValueError."""
    try:
        yield
    except OSError as error:
        if not is_data_error(error):
            raise
        problem = f"the data cannot be read: {error.strerror or error}"
        raise ValueError(f"{error.filename}: {problem}" if error.filename else problem) from error


def _compare_with_plan(location: Location, digest: str, planned: str) -> None:
    if digest != planned:
        raise ValueError(
            f"{location.key}: {redact(location.value)} on {platform.node()} has {_short(digest)}, "
            f"but it had {_short(planned)} where the sweep was read; give all machines the same "
            "data, or run the command again if the data have changed"
        )


def _compare_with_trials(
    store: Store, identity: Any, digest: str, location: Location | None
) -> None:
    """Compare with what other trials of the store found under one name, or be the first of them.

    Of two that are the first at once, with different data, both see the other and raise.
    """
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    name = digest.removeprefix("sha256:")[:16]
    own = {
        "schema": SCHEMA,
        "digest": digest,
        "location": redact(location.value) if location else _described(identity),
        "host": platform.node(),
    }
    found = store.contents(key)
    if not found:
        store.write_content(key, name, own)
        found = store.contents(key)
    for path, other in found.items():
        if other["digest"] != digest:
            if len(found) > 1:
                store.drop_content(key, name)
            raise ValueError(
                f"{own['location']} on {own['host']} has {_short(digest)}, but other trials of "
                f"this store read {_short(other['digest'])} under the same name "
                f"({other['location']} on {other['host']}); use one of them, another name or "
                f"another --storage, or remove {path} from the store if those data were wrong"
            )


def _described(config: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in redacted(config).items())


def _short(digest: str) -> str:
    return f"content {digest[:19]}"
