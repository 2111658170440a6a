"""What files import, read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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


def imports(file: Path) -> Iterator[Import]:
    """The imports of a file; none of ours is relative."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    late = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    place = file.relative_to(ROOT).as_posix()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place}:{node.lineno}: relative import"
            for alias in node.names:
                yield Import(place, node.lineno, str(node.module), alias.name, node not in late)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(place, node.lineno, alias.name, "", node not in late)
