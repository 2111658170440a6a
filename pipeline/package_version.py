"""The version of an installed package, and the error that one is missing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version


class MissingPackage(ValueError):
    """A package that a part needs is not installed; the message says which."""


def package_version(name: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions_of(modules: Iterable[str]) -> dict[str, str]:
    """Versions of the installed packages that have modules of these names, by package.

    ``sklearn`` is of the package scikit-learn. A package that is not installed is left out.
    """
    found: dict[str, str] = {}
    for module in sorted(set(modules)):
        for package in [module] if package_version(module) else _distributions().get(module, []):
            found[package] = str(package_version(package))
    return found


@cache
def _distributions() -> dict[str, list[str]]:
    """Packages by the names of their modules; 0.2 s, since all files of all packages are read."""
    return {module: sorted(set(names)) for module, names in packages_distributions().items()}
