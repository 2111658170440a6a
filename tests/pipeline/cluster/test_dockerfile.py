"""What can be told of the Dockerfile without a builder: it fits the checkout and the manifest."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet

from pipeline.cluster.kubernetes import WORKDIR

ROOT = Path(__file__).parents[3]


def read_steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: the word, and the rest in one line."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    steps = [line.partition(" ") for line in text.replace("\\\n", " ").split("\n")]
    return [(word, rest.strip()) for word, _, rest in steps]


def rests(word: str) -> list[str]:
    return [rest for each, rest in read_steps() if each == word]


def test_the_base_has_a_python_that_the_project_supports() -> None:
    (base,) = rests("FROM")
    version = re.fullmatch(r"python:(3\.\d+)-slim-[a-z]+", base)
    assert version, base
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version[1] in SpecifierSet(project["requires-python"])


def test_the_environment_is_installed_from_the_lock_by_hashes(tmp_path: Path) -> None:
    """The step that installs has no file but those that were copied before it."""
    steps = read_steps()
    number = next(n for n, (_, rest) in enumerate(steps) if rest.startswith("make .venv/ready"))
    copied = [rest.split() for word, rest in steps[:number] if word == "COPY"]
    for name in [name for *names, _ in copied for name in names]:
        shutil.copy2(ROOT / name, tmp_path)
    make = [*steps[number][1].partition(" && ")[0].split(), "--dry-run"]
    done = subprocess.run(make, cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    sync = next(line for line in done.stdout.replace("\\\n", "").splitlines() if " sync " in line)
    assert "--require-hashes" in sync
    assert sync.split()[-1] == "requirements.lock"


def test_the_checkout_and_its_environment_are_where_the_manifest_looks_for_them() -> None:
    """As `--cluster` does: the lock beside the .venv is the checkout's."""
    assert rests("WORKDIR") == [WORKDIR]
    assert rests("COPY")[-1] == ". ."
    assert rests("ENV") == [f"PATH={WORKDIR}/.venv/bin:$PATH"]
    login_shell = next(rest for rest in rests("RUN") if "/etc/profile.d" in rest)
    assert f"PATH={WORKDIR}/.venv/bin:$PATH" in login_shell
    assert any(rest.endswith(f"safe.directory {WORKDIR}") for rest in rests("RUN"))


def test_what_is_copied_is_there_and_what_git_ignores_is_left_out() -> None:
    """So no results, wheels or environment of this machine get into the image."""
    copied = [name for line in rests("COPY") for name in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    assert set(patterns(".dockerignore")) == {
        name.strip("/") if name.startswith("/") else f"**/{name.strip('/')}"
        for name in patterns(".gitignore")
    }


def patterns(file: str) -> list[str]:
    lines = (ROOT / file).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
