"""The version of an installed package, and the error that one is missing."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


class MissingPackage(ValueError):
    """A package that a part needs is not installed; the message says which."""


def package_version(name: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
