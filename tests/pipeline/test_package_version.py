"""Versions of installed packages by the names of their modules."""

from __future__ import annotations

from importlib.metadata import version

from pipeline.package_version import package_version, versions_of


def test_a_package_is_named_as_it_is_installed() -> None:
    found = versions_of(["sklearn", "PIL", "numpy", "no_such_module", "numpy"])
    expected = ["numpy", "pillow", "scikit-learn"]
    assert found == {name: version(name) for name in expected}


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert package_version("no-such-package") is None
