"""Imports point one way, and heavy packages stay where they belong: read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

LAYERS = (
    # A sweep file, and what it names.
    {"yaml_file", "seeds", "places"},
    {"catalog", "exclude", "expand", "overrides", "settings", "spec"},
    {"store", "coarse", "estimate", "progress"},
    # A network in training, and what looks at it.
    {"data", "normalizers"},
    {"architectures"},
    {"batches", "initialization", "objective", "optimization"},
    {"evaluation", "measure"},
    {"probes"},
    {"observation"},
    {"training"},
    # A trial, and many of them.
    {"provenance", "records"},
    {"result"},
    {"trial", "tracking"},
    {"cluster", "orchestrator"},
    {"sweep"},
)
"""The modules and packages of the pipeline; each may import what stands beside or above it."""

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
WITHOUT_TORCH = ("yaml_file", "seeds", "places", *LAYERS[1], *LAYERS[2])
OWNERS = {"mlflow": {"pipeline/tracking.py"}}
OWNERS["ray"] = {"pipeline/orchestrator.py", "pipeline/cluster.py"}


class Import(NamedTuple):
    file: str
    line: int
    target: str
    at_once: bool
    """When the file is imported, rather than inside a function or for a type checker."""


def imports(file: Path) -> Iterator[Import]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    late = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            module = str(node.module)
            targets = [f"{module}.{a.name}" if module == "pipeline" else module for a in node.names]
        else:
            continue
        for target in targets:
            yield Import(str(file.relative_to(ROOT)), node.lineno, target, node not in late)


PIPELINE = [each for file in sorted(ROOT.glob("pipeline/**/*.py")) for each in imports(file)]
ANALYSIS = [each for file in sorted(ROOT.glob("analysis/**/*.py")) for each in imports(file)]


def unit(file: str) -> str:
    """The module, or the package that it is in, of a file of the pipeline."""
    return Path(file).parts[1].removesuffix(".py")


def test_every_module_has_its_place() -> None:
    found = {unit(str(file.relative_to(ROOT))) for file in ROOT.glob("pipeline/**/*.py")}
    missing = found - {"__init__"} - LEVEL.keys()
    assert not missing, f"say in LAYERS where {sorted(missing)} stands"


def test_imports_point_one_way() -> None:
    inner = [each for each in PIPELINE if each.target.startswith("pipeline.")]
    assert len(inner) > 50
    for each in inner:
        source, target = unit(each.file), each.target.split(".")[1]
        assert LEVEL[target] <= LEVEL[source], f"{each.file}:{each.line} imports {target}"
        beside = LEVEL[target] == LEVEL[source] and target != source
        assert not beside or source in LAYERS[1], f"{each.file}:{each.line} imports {target}"


def test_nothing_in_the_pipeline_imports_the_analysis() -> None:
    assert [each for each in PIPELINE if each.target.split(".")[0] == "analysis"] == []


@pytest.mark.parametrize("package", OWNERS)
def test_only_their_owners_import_ray_and_mlflow(package: str) -> None:
    users = {each.file for each in PIPELINE + ANALYSIS if each.target.split(".")[0] == package}
    assert users
    assert users <= OWNERS[package]


def test_what_reads_sweep_files_and_stores_imports_no_torch() -> None:
    for each in PIPELINE:
        if unit(each.file) in WITHOUT_TORCH:
            assert each.target.split(".")[0] not in ("torch", "torchvision"), each


@pytest.mark.parametrize("module", ["trial", "sweep"])
def test_commands_import_nothing_heavy_at_once(module: str) -> None:
    """`--help` and a mistake in the sweep file must not wait for torch."""
    heavy = {"torch", "torchvision", "ray", "mlflow", "pandas", "numpy", "pyarrow", "pydantic"}
    seen, open_ = set(), {f"pipeline.{module}"}
    while open_:
        name = open_.pop()
        seen.add(name)
        file = f"{name.replace('.', '/')}.py"
        for each in (e for e in PIPELINE if e.file == file and e.at_once):
            assert each.target.split(".")[0] not in heavy, each
            if each.target.startswith("pipeline.") and each.target not in seen:
                open_.add(each.target)


def test_architectures_and_probes_name_no_part() -> None:
    """A normalizer is a value: only its interface and its traits are known elsewhere."""
    files = {f"pipeline.{file.parent.name}.{file.stem}" for file in ROOT.glob("pipeline/*/[!_]*.py")}
    assert len(files) > 10
    for each in PIPELINE:
        of_one_kind = each.target.split(".")[:2] == ["pipeline", unit(each.file)]
        assert of_one_kind or each.target not in files, each


@pytest.mark.parametrize("command", ["pipeline.trial", "pipeline.sweep"])
def test_help_is_quick_to_import(command: str) -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['command', '--help']\n"
        "try:\n"
        f"    runpy.run_module({command!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    usage, _, last = done.stdout.rstrip().rpartition("\n")
    assert usage.startswith(f"usage: python -m {command}")
    assert "example" in usage
    loaded = set(ast.literal_eval(last))
    assert "pipeline" in loaded
    assert not loaded & {"torch", "torchvision", "ray", "mlflow", "pandas", "numpy", "pyarrow"}


def test_expanding_a_sweep_imports_no_torch() -> None:
    code = (
        "import sys; from pipeline.spec import read_sweep\n"
        "assert read_sweep('sweeps/quickstart.yaml').cells\n"
        "from pipeline import estimate, store\n"
        "print(sorted(sys.modules.keys() & {'torch', 'ray', 'mlflow', 'pandas'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
