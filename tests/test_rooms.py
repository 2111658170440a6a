"""Rooms: other rooms import what a room's ``__init__.py`` exports, and no file within it."""

from __future__ import annotations

import ast

import pytest

from tests.helpers.imports import ROOT, Import, imports_below

HEAVY = {"matplotlib", "mlflow", "numpy", "pandas", "pyarrow", "pydantic", "ray", "torch"}

OPEN = {
    "pipeline.catalog": {"option_types", "validation"},
    "pipeline.spec": {"expand", "training"},
    "pipeline.tracking": {"client", "payload", "sync", "uri", "worker"},
    "pipeline.training": {
        *("batches", "checkpoint", "initialization", "layout", "live_note", "local_notes"),
        *("loop", "optimizer", "outcome", "precision", "probe_runner", "stopping"),
    },
    "pipeline.trial": {
        *("data_check", "failure", "kernel_kill", "result", "run", "source_digest"),
    },
    "analysis.figures": {"font", "marks", "style"},
    "analysis.render": {"write"},
}
"""Files that are imported by name, since some file of their room imports a heavy package at once.

A help text, or an error in a sweep file, must not wait for torch: no ``__init__.py`` may gather
them.
"""

PARTS = {"architectures", "data", "normalizers", "optimizers", "probes"}
"""Rooms of parts: a file with an underscore is not a part, and is imported by name."""


TOPS = ("pipeline", "analysis")
"""Without ``normscope``, the public face: a list of names, each with the file that has it."""
FILES = [file for top in TOPS for file in ROOT.glob(f"{top}/**/*.py")]
MODULES = {file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for file in FILES}


def room_of(dotted: str) -> str:
    """``pipeline.store`` of a module below it; empty for a file that stands in no room."""
    room = ".".join(dotted.split(".")[:2])
    return room if f"{room}.__init__" in MODULES else ""


def exported(room: str) -> set[str]:
    """The names that a room's ``__init__.py`` defines or imports, but for private ones."""
    tree = ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def inner(each: Import) -> tuple[str, str]:
    """The room whose file an import names from outside, and the file; empty where it does not."""
    room = room_of(each.module)
    if not room or each.file.startswith(f"{room.replace('.', '/')}/"):
        return "", ""
    if each.module != room:
        return room, each.module.removeprefix(f"{room}.").partition(".")[0]
    is_file = f"{room}.{each.name}" in MODULES and each.name not in exported(room)
    return (room, each.name) if is_file else ("", "")


def test_no_file_within_a_room_is_imported_from_outside() -> None:
    wrong = []
    for each in imports_below(*TOPS):
        room, file = inner(each)
        is_of_parts = room.rpartition(".")[2] in PARTS and file.startswith("_")
        if room and not is_of_parts and file not in OPEN.get(room, ()):
            wrong.append(f"{each}; export it in {room}")
    assert wrong == []


def test_what_a_room_exports_is_there() -> None:
    rooms = {room_of(name) for name in MODULES} - {""}
    assert len(rooms) > 20
    taken = [each for each in imports_below(*TOPS) if each.module in rooms and each.name]
    assert len(taken) > 300
    for each in taken:
        is_file = f"{each.module}.{each.name}" in MODULES
        is_folder = f"{each.module}.{each.name}.__init__" in MODULES
        assert is_file or is_folder or each.name in exported(each.module), str(each)


@pytest.mark.parametrize("room", OPEN)
def test_an_open_file_is_needed_and_its_room_is_heavy(room: str) -> None:
    used = {file for each in imports_below(*TOPS) for found, file in [inner(each)] if found == room}
    assert OPEN[room] == used
    reached, left = set(), {f"{room}.{file}" for file in OPEN[room]}
    while left:
        reached |= left
        left = {
            name
            for each in imports_below(*TOPS)
            if each.at_once and dotted(each.file) in left
            for name in (each.module, f"{each.module}.{each.name}")
        } - reached
    assert reached & HEAVY, "its `__init__.py` can export what these files have"


def dotted(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
