"""What `make` would run: it installs from the registry, or from a folder and from nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands(*words: str) -> list[str]:
    """The commands that make would run if nothing were there yet, those of the packages alone."""
    made = subprocess.run(
        ["make", "--always-make", "--dry-run", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = made.stdout.replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if "pip " in line]


def test_a_folder_of_wheels_takes_the_place_of_the_registry() -> None:
    source = f"--no-index --find-links {ROOT}/some-wheels"
    offline = commands(".venv/ready", "WHEELS=some-wheels")
    assert len(offline) == 2  # uv itself, and everything else
    assert all(source in line for line in offline)
    assert not any("--no-index" in line for line in commands(".venv/ready"))


def test_wheels_downloads_the_lock_with_its_hashes_and_uv() -> None:
    first, second = commands("wheels", "WHEELS=some-wheels")
    assert "download" in first
    assert "--require-hashes -d some-wheels -r requirements.lock" in first
    assert "-d some-wheels 'uv>=" in second
    assert "-d wheels -r" in commands("wheels")[0]
