"""The notebook in docs/ runs, and its saved outputs are those that its code makes."""

from __future__ import annotations

import ast
import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOK = DOCS / "notebook.ipynb"
_LARGEST = 300_000
_NUMBER = re.compile(r"-?\d+\.\d+")


def cells(kind: str) -> list[dict[str, Any]]:
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def value_of(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body[-1]
    shown = isinstance(last, ast.Expr) and not source.rstrip().endswith(";")
    if shown:
        tree.body.pop()
    exec(compile(tree, "notebook", "exec"), names)
    return eval(ast.unparse(last), names) if shown else None


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_it_is_small_and_was_run_from_top_to_bottom() -> None:
    assert NOTEBOOK.stat().st_size < _LARGEST
    counts = [cell["execution_count"] for cell in cells("code")]
    assert counts == list(range(1, len(counts) + 1))
    kinds = [out["output_type"] for cell in cells("code") for out in cell["outputs"]]
    assert set(kinds) == {"execute_result"}


def test_its_outputs_are_those_of_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are the same; decimal numbers may differ by a little on another processor."""
    shutil.copyfile(DOCS / "own_loop.py", tmp_path / "own_loop.py")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    images = 0
    for cell in cells("code"):
        value = value_of("".join(cell["source"]), names)
        saved = cell["outputs"][0]["data"] if cell["outputs"] else {}
        if "image/png" in saved:
            images += 1
            assert size_of(value._repr_png_()) == size_of(base64.b64decode(saved["image/png"]))
        elif saved:
            text = "".join(saved["text/plain"])
            made = repr(value)
            assert _words(made) == _words(text)
            numbers = [[float(n) for n in _NUMBER.findall(each)] for each in (made, text)]
            assert numbers[0] == pytest.approx(numbers[1], abs=0.03)
        else:
            assert value is None
    assert images == 3


def _words(text: str) -> list[str]:
    """All but decimal numbers, spaces and line breaks."""
    return re.findall(r"[^\s,\[\]]+", _NUMBER.sub("", text))
