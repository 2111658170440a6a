"""What files import, read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Import(NamedTuple):
    """One name of a ``from`` import, or a whole module of another kind of import."""

    file: str
    line: int
    module: str
    name: str
    at_once: bool
    """When the file is imported, rather than inside a function or for a type checker."""

    @property
    def target(self) -> str:
        """The module that is imported: ``from pipeline import spec`` imports ``pipeline.spec``."""
        is_room = self.module == "pipeline" and self.name
        return f"{self.module}.{self.name}" if is_room else self.module

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: from {self.module} import {self.name}"


@cache
def imports_below(*folders: str) -> list[Import]:
    """The imports of all files in folders of the repository, file by file."""
    files = sorted(file for folder in folders for file in ROOT.glob(f"{folder}/**/*.py"))
    return [each for file in files for each in imports(file)]


def imports(file: Path) -> Iterator[Import]:
    """The imports of a file; none of ours is relative."""
    place = file.relative_to(ROOT).as_posix()
    return _within(ast.parse(file.read_text(encoding="utf-8")), place, at_once=True)


def _within(node: ast.AST, place: str, at_once: bool) -> Iterator[Import]:
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{place}:{node.lineno}: relative import"
        for alias in node.names:
            yield Import(place, node.lineno, str(node.module), alias.name, at_once)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(place, node.lineno, alias.name, "", at_once)
    elif not isinstance(node, ast.expr):
        late = isinstance(node, ast.FunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        )
        for inner in ast.iter_child_nodes(node):
            yield from _within(inner, place, at_once and not late)
