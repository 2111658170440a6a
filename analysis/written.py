"""The report that a folder holds: what it was made of, and whether it is still as it was written.

Beside it, where a cache is, lies a note that names both; without it a report is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from analysis.reader import Found
from pipeline.disk import write_whole

MANIFEST = "manifest.json"
_NOTE = "report.json"
_PACKAGES = ("numpy", "pandas", "scipy", "matplotlib", "seaborn", "pyarrow")


def versions() -> dict[str, str]:
    """The libraries that numbers and pictures come from."""
    return {name: version(name) for name in _PACKAGES}


def source(parts: Sequence[Found], seed: int, command: str) -> str:
    """Digest of all that a report is made of: cells, code, libraries, seed and command."""
    known = [[part.digest() for part in parts], code(), versions(), seed, command]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def code(package: Path = Path(__file__).parent) -> str:
    """Digest of this package's files: its modules, and what the page is made of."""
    sha = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            sha.update(f"{path.relative_to(package).as_posix()} {_digest(path)}\n".encode())
    return sha.hexdigest()


def remember(folder: Path, cache: Path, source: str) -> None:
    """Note what the report in the folder, just written, was made of."""
    note = {"source": source, "manifest": _digest(folder / MANIFEST)}
    write_whole(str((cache / _NOTE).absolute()), json.dumps(note).encode() + b"\n")


def holds(folder: Path, cache: Path, source: str) -> bool:
    """Whether the folder holds, byte for byte, the report that was made of just this."""
    try:
        note = json.loads((cache / _NOTE).read_bytes())
        if note != {"source": source, "manifest": _digest(folder / MANIFEST)}:
            return False
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        return all(_digest(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError):  # no such report, or a damaged one
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
