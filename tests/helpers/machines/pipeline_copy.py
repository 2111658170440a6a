"""A copy of the pipeline with parts of its own, to run sweeps on that no user should."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[3]


def copied(folder: Path, name: str, code: str) -> None:
    """Copy the pipeline to a folder, and add a file of normalizers."""
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=caches)
    (folder / f"pipeline/normalizers/{name}.py").write_text(code)
