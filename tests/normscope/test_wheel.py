"""The wheel: what it installs, outside of a checkout, gives the library and the commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TREE = ("pyproject.toml", "README.md", "normscope", "pipeline", "analysis", "sweeps")
_BUILD = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"


def run(*command: str, cwd: Path) -> str:
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree by the backend, without a network."""
    tree = tmp_path_factory.mktemp("tree")
    for name in _TREE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, symlinks=True)
        else:
            shutil.copyfile(ROOT / name, tree / name)
    run(sys.executable, "-c", _BUILD, cwd=tree)
    (found,) = (tree / "dist").glob("normscope-*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel alone; all else is found in this one's packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def test_the_wheel_has_the_code_and_the_quickstart_alone(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    text = zipfile.ZipFile(wheel).read("normscope/quickstart.yaml").decode()
    assert text == (ROOT / "sweeps/quickstart.yaml").read_text()
    own = {name for name in names if ".dist-info" not in name}
    assert {name.partition("/")[0] for name in own} == {"normscope", "pipeline", "analysis"}
    for package in ("normscope", "pipeline", "analysis"):
        files = (ROOT / package).rglob("*")
        kept = {str(f.relative_to(ROOT)) for f in files if f.is_file() and f.suffix != ".pyc"}
        assert kept <= own
    (metadata,) = (name for name in names if name.endswith("METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    assert {line for line in text.splitlines() if line.startswith("Provides-Extra")} == {
        "Provides-Extra: cluster",
        "Provides-Extra: test",
        "Provides-Extra: timm",
    }
    (scripts,) = (name for name in names if name.endswith("entry_points.txt"))
    script = "normscope = normscope.__main__:main"
    assert script in zipfile.ZipFile(wheel).read(scripts).decode()


def test_an_import_costs_no_torch(environment: Path, tmp_path: Path) -> None:
    code = (
        "import normscope, sys; print(sorted(sys.modules.keys() & {'torch', 'numpy', 'pandas'}));"
        "print(normscope.__file__); print(normscope.Monitor.__name__, 'torch' in sys.modules)"
    )
    lines = run(str(environment / "bin/python"), "-c", code, cwd=tmp_path).splitlines()
    assert lines[0] == "[]"
    assert lines[1].startswith(str(environment))
    assert lines[2] == "Monitor True"


@pytest.mark.parametrize(
    "command", ["sweep", "trial", "report", "catalog", "cluster", "export", "check", "demo"]
)
def test_every_command_has_help(command: str, environment: Path, tmp_path: Path) -> None:
    python = str(environment / "bin/python")
    assert command in run(python, "-m", "normscope", "--help", cwd=tmp_path)
    usage = run(python, "-m", "normscope", command, "--help", cwd=tmp_path)
    assert usage.startswith(("usage:", f"normscope {command}"))


def test_an_unknown_command_is_bad_input(environment: Path, tmp_path: Path) -> None:
    python = str(environment / "bin/python")
    done = subprocess.run(
        [python, "-m", "normscope", "swep"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("normscope: no command 'swep'")


@pytest.mark.slow
def test_a_demo_and_an_own_loop_run_outside_of_a_checkout(
    environment: Path, tmp_path: Path
) -> None:
    python = str(environment / "bin/python")
    cell = ["--set", "training.steps=4", "--set", "seeds=1", "--set", "probes={}", "--limit", "2"]
    cell += ["--concurrency", "1", "--tracking", "none"]
    run(python, "-m", "normscope", "demo", *cell, cwd=tmp_path)
    assert (tmp_path / "reports/quickstart/report.html").exists()
    shutil.copyfile(ROOT / "docs/own_loop.py", tmp_path / "own_loop.py")
    run(python, "own_loop.py", cwd=tmp_path)
    run(python, "-m", "normscope", "report", "my-study", "--storage", "results", cwd=tmp_path)
    assert "leaky" in (tmp_path / "reports/my-study/report.md").read_text()
