"""What makes a report: the code of this package, and the libraries behind numbers and pictures."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("numpy", "pandas", "scipy", "matplotlib", "seaborn", "pyarrow")


def versions() -> dict[str, str]:
    """The libraries that numbers and pictures come from."""
    return {name: version(name) for name in _PACKAGES}


@cache
def code() -> str:
    """Digest of this package's files: its modules, and what the page is made of."""
    return digest_of(Path(__file__).parents[1])


def digest_of(package: Path) -> str:
    """Digest of a package's files and their names."""
    sha = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            sha.update(f"{path.relative_to(package).as_posix()} {found}\n".encode())
    return sha.hexdigest()
