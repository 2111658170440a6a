"""Heavy packages stay where they belong: read from the source.

That rooms import only rooms below them, import-linter checks (`pyproject.toml`).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.imports import ROOT, imports_below

KINDS = ("data", "architectures", "normalizers", "probes")
PARTS = tuple(
    f"{file.parent.name}.{file.stem}"
    for kind in KINDS
    for file in ROOT.glob(f"pipeline/{kind}/[!_]*")
)
OWNERS = {"mlflow": {f"pipeline/tracking/{name}.py" for name in ("client", "runs", "verify")}}
OWNERS["ray"] = {
    f"pipeline/{name}.py"
    for name in (
        *(
            "sweep/on_ray/tune",
            "sweep/on_ray/ray_cluster",
            "sweep/on_ray/slots",
            "sweep/on_ray/node_check",
            "sweep/stop",
            "sweep/on_ray/remote_budget",
        ),
        "cluster/job",
    )
}


def module(file: str) -> str:
    """A file's dotted path within the pipeline; a package's own file is the package."""
    return ".".join(Path(file).with_suffix("").parts[1:]).removesuffix(".__init__")


def graph(*, at_once: bool) -> dict[str, set[str]]:
    """What each module imports: others of the pipeline by their path within, and packages."""
    edges: dict[str, set[str]] = {}
    for each in imports_below("pipeline"):
        package, _, inner = each.target.partition(".")
        if each.at_once or not at_once:
            target = inner if package == "pipeline" else f"/{package}"
            edges.setdefault(module(each.file), set()).add(target)
    return edges


def reached(edges: dict[str, set[str]], start: str) -> set[str]:
    """Everything that a module imports, directly or not."""
    assert start in edges
    seen: set[str] = set()
    open_ = [start]
    while open_:
        new = edges.get(open_.pop(), set()) - seen
        seen |= new
        open_ += new
    return seen


@pytest.mark.parametrize("package", OWNERS)
def test_only_their_owners_import_ray_and_mlflow(package: str) -> None:
    users = {
        each.file
        for each in imports_below("pipeline", "analysis")
        if each.target.split(".")[0] == package
    }
    assert users
    assert users <= OWNERS[package]


def test_tests_import_no_benchmarks() -> None:
    targets = {each.target.split(".")[0] for each in imports_below("tests")}
    assert "pytest" in targets
    assert "benchmarks" not in targets


@pytest.mark.parametrize(
    "name",
    [
        "spec.read",
        "store.store",
        "sweep.forecast.durations",
        "sweep.progress",
        "tracking.uri",
        "tracking.coarse",
    ],
)
def test_what_reads_sweep_files_and_stores_never_imports_torch(name: str) -> None:
    assert not reached(graph(at_once=False), name) & {"/torch", "/torchvision"}


@pytest.mark.parametrize("name", ["trial.command", "sweep.command"])
def test_commands_import_nothing_heavy_at_once(name: str) -> None:
    """`--help` and a mistake in the sweep file must not wait for torch."""
    heavy = {"torch", "torchvision", "ray", "mlflow", "pandas", "numpy", "pyarrow", "pydantic"}
    assert not reached(graph(at_once=True), name) & {f"/{package}" for package in heavy}


def test_parts_are_named_by_parts_of_their_own_kind_alone() -> None:
    """A normalizer is a value: only its interface and its traits are known elsewhere."""
    for each in imports_below("pipeline"):
        target = each.target.removeprefix("pipeline.")
        own = module(each.file).partition(".")[0] == target.partition(".")[0]
        assert own or target not in PARTS, each


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
        "import sys; from pipeline.spec.read import read_sweep\n"
        "assert read_sweep('sweeps/quickstart.yaml').cells\n"
        "from pipeline.sweep.forecast import durations\nfrom pipeline.store import store\n"
        "print(sorted(sys.modules.keys() & {'torch', 'ray', 'mlflow', 'pandas'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
