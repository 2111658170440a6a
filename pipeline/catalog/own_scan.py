"""The parts that a folder of own parts declares, and what of it is no part: it is passed over.

A mistake in one file of a folder stops nobody who uses the others. It stops those who name the part
that it is in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pipeline.catalog.declarations import Part, declared, functions, unreadable
from pipeline.catalog.own_parts import Folder, part_digest

_DEFINED = re.compile(r"^def ([A-Za-z]\w*)", re.MULTILINE)


@dataclass(frozen=True)
class Scan:
    """What of one kind is in a folder."""

    parts: dict[str, Part]
    """By ``PREFIX/NAME``."""
    faults: dict[str, str]
    """By ``PREFIX/NAME``, of which a file has a definition that is no part: why it is none.

    A name that has a fault has no part: a part of two definitions is that of neither."""


@cache
def scan_folder(folder: Folder, kind: str) -> Scan:
    """The parts of a kind in a folder, and what is wrong with what is none."""
    found = Scan({}, {})
    for name, problem in folder.unreadable.items():
        if _holds_parts(name, kind):
            _note(found, folder, [Path(name).stem], f"{name}: {problem}")
    for name, text in folder.files.items():
        if _holds_parts(name, kind):
            _scan_file(found, folder, kind, name, text)
    return Scan({k: part for k, part in found.parts.items() if k not in found.faults}, found.faults)


def _holds_parts(name: str, kind: str) -> bool:
    return Path(name).parent == Path(kind) and not name.rpartition("/")[2].startswith("_")


def _scan_file(found: Scan, folder: Folder, kind: str, name: str, text: str) -> None:
    place = Path(name)
    try:
        defined = list(functions(place, text))
        source = part_digest(folder, name)
    except (SyntaxError, ValueError, RecursionError) as error:
        _note(found, folder, [*_DEFINED.findall(text), place.stem], _unparsed(name, error))
        return
    for function in defined:
        whole = f"{folder.prefix}/{function.name}"
        try:
            part = declared(kind, f"{folder.package}.{kind}.{place.stem}", place, function)
            if other := found.parts.get(whole):
                file = other.module.rpartition(".")[2]
                raise unreadable(place, function, f"{file}.py defines it too")
        except TypeError as error:
            _note(found, folder, [function.name], str(error))
        else:
            found.parts[whole] = replace(part, name=whole, folder=folder, source=source)


def _note(found: Scan, folder: Folder, names: list[str], problem: str) -> None:
    for name in names:
        found.faults.setdefault(f"{folder.prefix}/{name}", f"parts of {folder.prefix}: {problem}")


def _unparsed(name: str, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename or name}:{error.lineno or 1}: {error.msg}"
    return f"{name}: {error}"
