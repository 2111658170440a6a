"""Whether the code that made a result is a commit's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.trial import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one committed module of ours."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/a.py").write_text("A = 1\n")
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    return tmp_path


def test_a_commit_is_clean(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("of no account")
    (checkout / "pipeline/__pycache__").mkdir()
    (checkout / "pipeline/__pycache__/a.pyc").write_text("ignored")
    assert provenance._dirty() is False


@pytest.mark.parametrize("file", ["pipeline/a.py", "pipeline/new.py", "analysis/new/own.py"])
def test_a_changed_or_an_untracked_module_is_dirty(checkout: Path, file: str) -> None:
    (checkout / file).parent.mkdir(parents=True, exist_ok=True)
    (checkout / file).write_text("A = 2\n")
    assert provenance._dirty() is True


def test_outside_a_checkout_it_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance._dirty() is None
