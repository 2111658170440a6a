"""The code that goes to a cluster is one commit, and what was asked for goes with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.cluster import checkout as module
from pipeline.cluster.checkout import committed_checkout


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout of two commits, which the module takes for its own."""
    root = tmp_path / "tree"
    for name in ("pipeline/code.py", "sweeps/mine.yaml", "requirements.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("first\n")
    git(root, "init", "-q")
    for text in ("first", "second"):
        (root / "pipeline/code.py").write_text(text)
        git(root, "add", ".")
        git(root, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", text)
    monkeypatch.setattr(module, "_ROOT", root)
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.check_output(["git", "-C", str(root), *words], text=True).strip()


def test_the_folder_is_the_commit_and_knows_it(tree: Path) -> None:
    with committed_checkout(tree / "sweeps/mine.yaml") as code:
        assert (
            code.commit == git(tree, "rev-parse", "HEAD") == git(code.folder, "rev-parse", "HEAD")
        )
        assert (code.folder / "pipeline/code.py").read_text() == "second"
        assert code.sweep == "sweeps/mine.yaml"
        (code.folder / "pipeline/code.py").chmod(0o755)  # as an archive may
        assert git(code.folder, "status", "--porcelain") == ""
    assert not code.folder.exists()


def test_a_sweep_file_goes_as_it_is_now_and_leaves_the_code_clean(tree: Path) -> None:
    file = tree / "sweeps/mine.yaml"
    file.write_text("changed\n")
    with committed_checkout(file) as code:
        assert code.sweep == "submitted/mine.yaml"
        assert (code.folder / code.sweep).read_text() == "changed\n"
        assert (code.folder / "sweeps/mine.yaml").read_text() == "first\n"
        assert git(code.folder, "status", "--porcelain", "--untracked-files=no") == ""


def test_a_sweep_file_from_elsewhere_goes_along(tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("other\n")
    with committed_checkout(file) as code:
        assert (code.folder / code.sweep).read_text() == "other\n"


@pytest.mark.parametrize("name", ["pipeline/code.py", "pipeline/new.py", "requirements.lock"])
def test_code_that_is_not_committed_is_refused(name: str, tree: Path) -> None:
    (tree / name).write_text("third")
    with (
        pytest.raises(ValueError, match=rf"{name} differs from it; commit it"),
        committed_checkout(tree / "sweeps/mine.yaml"),
    ):
        pass


def test_a_folder_that_is_no_checkout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with (
        pytest.raises(ValueError, match="needs a git checkout"),
        committed_checkout(tmp_path / "a.yaml"),
    ):
        pass
