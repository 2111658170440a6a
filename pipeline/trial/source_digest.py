"""Which code computes a cell: a digest of the source of each part and of the training core.

The digest of a module covers its text and that of all modules of ours that it imports, directly or
not. Imports are read from the syntax tree; nothing is imported. A module is named by its dotted
name, never by a path, so two checkouts of the same code have the same digests.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.catalog import Part, own_parts
from pipeline.catalog import registry as catalog
from pipeline.spec import optimizer_name

_PACKAGE = Path(__file__).resolve().parents[1]
CORE = (
    "pipeline.trial.run",
    "pipeline.training.loop",
    "pipeline.training.initialization",
    "pipeline.trial.result",
)
"""Modules that compute every cell, whatever its parts."""
NOT_NUMERIC = frozenset(
    f"pipeline.{name}"
    for name in (
        *("spec", "catalog", "store", "cli"),
        *(f"trial.{name}" for name in ("log_capture", "memory_guard", "watchdog", "cgroup")),
        *(f"trial.{name}" for name in ("failure", "kernel_kill", "data_check")),
        *("trial.provenance", "trial.source_digest"),
        *("training.live_note", "training.local_notes"),
    )
)
"""Modules, with those below them, that change no cell's numbers: settings, files, watching."""


def source_digests(settings: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the code that computes a cell, 16 hex digits each, by the name of the part.

    The names are ``training`` (the core) and ``KIND/NAME`` (``normalizers/batch``).
    """
    return {
        "training": code_digest(CORE),
        **{f"{kind}/{name}": _part_digest(kind, name) for kind, name in _named(settings)},
    }


def imported_packages(settings: Mapping[str, Any]) -> set[str]:
    """Packages of others that a cell's parts import, by the names under which they do.

    A part that the catalog does not have, as a label of one's own loop, imports none.
    """
    found: set[str] = set()
    for kind, name in _named(settings):
        if part := catalog.parts(kind).get(name):
            for tree in _trees(part):
                found |= {imported.partition(".")[0] for imported in _imported(tree)}
    ours = {root.name for root in _roots(catalog.ROOT)}
    return found - ours - sys.stdlib_module_names


def _named(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The kind and the name of each part of a cell."""
    named = [
        ("data", settings["data"]["name"]),
        ("architectures", settings["architecture"]["name"]),
    ]
    named += [("normalizers", member["name"]) for member in settings["normalizer"]]
    named += [("probes", name) for name in settings["probes"]]
    if optimizer := optimizer_name(settings.get("training", {})):
        named.append(("optimizers", optimizer))
    return named


def _trees(part: Part) -> Iterator[ast.AST]:
    """The syntax trees of a part's file and of all files of ours, or of its folder, behind it."""
    if part.folder:
        file = "/".join(part.module.removeprefix(f"{part.folder.package}.").split(".")) + ".py"
        texts = [part.folder.files[name] for name in own_parts.reached(part.folder.files, file)]
        yield from map(ast.parse, texts)
        return
    roots = _roots(catalog.ROOT)
    for name in _reached((part.module,), roots):
        yield ast.parse(_text(name, roots))


def _part_digest(kind: str, name: str) -> str:
    """Of a part that is not ours, the digest of its own files alone."""
    part = catalog.parts(kind)[name]
    return part.source or code_digest((part.module,))


def code_digest(modules: tuple[str, ...]) -> str:
    """Digest of modules of ours by their dotted names, and of all that they import: 16 digits."""
    return _digest(modules, _roots(catalog.ROOT))


def _roots(parts: Path) -> tuple[Path, ...]:
    """The folders of our packages: this one, and the one that the catalog reads."""
    return tuple(dict.fromkeys((_PACKAGE, parts.resolve())))


@cache
def _digest(modules: tuple[str, ...], roots: tuple[Path, ...]) -> str:
    sha = hashlib.sha256()
    for name in sorted(_reached(modules, roots)):
        text = hashlib.sha256(_text(name, roots).encode()).hexdigest()
        sha.update(f"{name} {text}\n".encode())
    return sha.hexdigest()[:16]


def _reached(modules: tuple[str, ...], roots: tuple[Path, ...]) -> set[str]:
    """The modules, their packages, and all modules of ours that these import."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name, roots)
    return found


@cache
def _imports(name: str, roots: tuple[Path, ...]) -> frozenset[str]:
    """Modules of ours that a module imports, and the package that holds it."""
    names = {name.rpartition(".")[0], *_imported(ast.parse(_text(name, roots)))}
    return frozenset(n for n in names if _is_numeric(n) and _file(n, roots))


def _is_numeric(name: str) -> bool:
    return not any(name == other or name.startswith(f"{other}.") for other in NOT_NUMERIC)


def _imported(node: ast.AST) -> Iterator[str]:
    """Absolute names that a tree imports; what only type checkers import is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (name for other in child.orelse for name in _imported(other))
        else:
            yield from _by_name(child)
            yield from _imported(child)


def _by_name(node: ast.AST) -> Iterator[str]:
    """What a call of ``import_module`` imports, if its name is written there."""
    match node:
        case ast.Call(
            func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            yield name


@cache
def _text(name: str, roots: tuple[Path, ...]) -> str:
    file = _file(name, roots)
    if file is None:
        raise ValueError(f"{name}: no such module in {', '.join(map(str, roots))}")
    return file.read_text(encoding="utf-8")


@cache
def _file(name: str, roots: tuple[Path, ...]) -> Path | None:
    """The file of a module of ours; None for other modules and for what is no module."""
    first, *rest = name.split(".")
    for root in roots:
        if first == root.name:
            path = root.joinpath(*rest)
            files = (path / "__init__.py", path.parent / f"{path.name}.py")
            return next((file for file in files if file.is_file()), None)
    return None
