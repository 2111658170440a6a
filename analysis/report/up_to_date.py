"""The report that a folder holds: what it was made of, and whether it is still as it was written.

Beside it, where a cache is, lies a note that names both; without it a report is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from analysis.load import Found, code, versions
from analysis.render import MANIFEST
from pipeline.store import write_atomic

_NOTE = "report.json"


def source(parts: Sequence[Found], seed: int, command: str) -> str:
    """Digest of all that a report is made of: cells, code, libraries, seed and command."""
    known = [[part.digest() for part in parts], code(), versions(), seed, command]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def remember(folder: Path, cache: Path, source: str) -> None:
    """Note what the report in the folder, just written, was made of."""
    note = {"source": source, "manifest": _digest(folder / MANIFEST)}
    write_atomic(str((cache / _NOTE).absolute()), json.dumps(note).encode() + b"\n")


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
