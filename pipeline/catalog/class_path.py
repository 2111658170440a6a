"""A class of a file, as a sweep file names it: ``my_net.py:Net``."""

from __future__ import annotations

PARTS = ("module",)
"""The parts whose locations are such, and not those of data."""


def file_of_class(path: str) -> tuple[str, str]:
    """The file and the class's name.

    Raises:
        ValueError: if the path does not have both.
    """
    file, _, name = path.rpartition(":")
    if not file or not name.isidentifier():
        raise ValueError(f"path must be FILE.py:CLASS, e.g. my_net.py:Net, not {path!r}")
    return file, name
