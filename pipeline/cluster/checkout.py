"""The code that a cluster runs: a checkout of one commit, and the sweep file in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.catalog import own_parts

_ROOT = Path(__file__).resolve().parents[2]
_PINNED = ("pipeline", "requirements.lock")
"""What can change a cell's numbers: it has to be committed."""


_NONE: Mapping[str, Mapping[str, str]] = {}


@dataclass(frozen=True)
class Checkout:
    """A checkout of one commit, to be sent away."""

    folder: Path
    commit: str
    sweep: str
    """The sweep file within the folder."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Folders of parts that are not ours by prefix, as paths from the sweep file on."""


@contextmanager
def committed_checkout(
    sweep: Path, parts: Mapping[str, Mapping[str, str]] = _NONE
) -> Iterator[Checkout]:
    """Check out the commit that is current here, with ``sweep`` as it is now; gone at the end.

    Args:
        sweep: the sweep file.
        parts: texts of the parts that are not ours (`pipeline.catalog.own_parts.snapshot`).

    The history's tip comes along, so that results say which commit they are of.

    Raises:
        ValueError: if this is no git checkout, or its code differs from the commit.
    """
    commit = _git("rev-parse", "HEAD")
    if changed := _git("status", "--porcelain", "--", *_PINNED).splitlines():
        file = changed[0][3:]
        raise ValueError(f"--cluster runs commit {commit[:12]}: {file} differs from it; commit it")
    with tempfile.TemporaryDirectory(prefix="normscope-code-") as scratch:
        folder = Path(scratch) / "normscope"
        _git("clone", "--quiet", "--depth", "1", f"file://{_ROOT}", str(folder))
        # A copy through an archive loses these, and would look changed.
        _git("-C", str(folder), "config", "core.fileMode", "false")
        located = _placed(sweep, folder)
        yield Checkout(folder, commit, located, _placed_parts(parts, folder, located))


def _placed(sweep: Path, folder: Path) -> str:
    """Find the sweep file in the checkout, or put it there, beside what is committed."""
    content = sweep.read_bytes()
    try:
        committed = sweep.resolve().relative_to(_ROOT)
        if (folder / committed).read_bytes() == content:
            return str(committed)
    except (ValueError, OSError):
        pass  # it lies elsewhere, or is not committed
    (folder / "submitted").mkdir(exist_ok=True)
    shutil.copyfile(sweep, folder / "submitted" / sweep.name)
    return f"submitted/{sweep.name}"


def _placed_parts(
    parts: Mapping[str, Mapping[str, str]], folder: Path, sweep: str
) -> dict[str, str]:
    """Write parts into the checkout; where they are, from the sweep file on."""
    for prefix, files in parts.items():
        own_parts.write(files, folder / "submitted" / "parts" / prefix)
    start = str(Path(sweep).parent)
    return {prefix: os.path.relpath(f"submitted/parts/{prefix}", start) for prefix in parts}


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *words], capture_output=True, text=True)
    except OSError as error:
        raise ValueError(f"--cluster needs git: {error}") from None
    if done.returncode:
        raise ValueError(f"--cluster needs a git checkout: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")
