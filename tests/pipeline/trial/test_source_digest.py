"""A digest of the code that computes a cell: what changes it, and what does not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.catalog import registry as catalog
from pipeline.trial import source_digest
from pipeline.trial.source_digest import CORE, NOT_NUMERIC, imported_packages, source_digests
from tests.helpers.stores.cells import IMAGES, PROBES, cell

_FILES = {
    "__init__.py": "",
    "helper.py": "VALUE = 1\n",
    "unused.py": "VALUE = 1\n",
    "data/__init__.py": "",
    "data/sets.py": 'def digits():\n    """Digits."""\n',
    "architectures/nets.py": 'def vgg11(task, norm):\n    """A VGG."""\n',
    "normalizers/__init__.py": "",
    "normalizers/_shared.py": "from parts import helper\n",
    "normalizers/first.py": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from parts import unused\n\n"
        'def batch():\n    """Batch."""\n    from parts.normalizers._shared import helper\n'
    ),
    "normalizers/second.py": 'def group():\n    """Group."""\n',
    "probes/all.py": 'def landscape(view):\n    """Landscape."""\n',
}
CELL: dict[str, Any] = {
    "data": {"name": "digits"},
    "architecture": {"name": "vgg11"},
    "normalizer": [{"name": "batch"}, {"name": "group"}],
    "probes": {"landscape": {}},
}


def package(folder: Path, **changes: str) -> Path:
    """Write a catalog's package, some of its files changed."""
    root = folder / "parts"
    for name, text in {**_FILES, **changes}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Gives the names of the parts whose digest a change of some files changes."""

    def digests(folder: str, files: dict[str, str]) -> dict[str, str]:
        monkeypatch.setattr(catalog, "ROOT", package(tmp_path / folder, **files))
        return source_digests(CELL)

    def names(**files: str) -> set[str]:
        before, after = digests("before", {}), digests("after", files)
        assert set(before) == set(after)
        return {name for name in before if before[name] != after[name]}

    return names


def test_another_folder_has_the_same_digests(changed: Any) -> None:
    assert changed() == set()


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        ("normalizers/first.py", {"normalizers/batch"}),
        ("normalizers/second.py", {"normalizers/group"}),
        ("normalizers/_shared.py", {"normalizers/batch"}),
        ("helper.py", {"normalizers/batch"}),
        ("normalizers/__init__.py", {"normalizers/batch", "normalizers/group"}),
        ("data/sets.py", {"data/digits"}),
        ("unused.py", set()),
    ],
)
def test_a_change_counts_for_the_parts_that_import_it(
    changed: Any, file: str, parts: set[str]
) -> None:
    assert changed(**{file: _FILES[file] + "OTHER = 2\n"}) == parts


def test_line_ends_do_not_count(changed: Any) -> None:
    assert changed(**{"helper.py": "VALUE = 1\r\n"}) == set()


def test_our_own_core_follows_its_imports() -> None:
    roots = source_digest._roots(catalog.ROOT)
    core = source_digest._reached(CORE, roots)
    assert {
        "pipeline.training.batches",
        "pipeline.training.optimizer",
        "pipeline.probes._view",
        "pipeline.probes._vectors",
    } <= core
    assert not core & NOT_NUMERIC
    assert not source_digest._is_numeric("pipeline.store.store.inner")
    assert source_digest._is_numeric("pipeline.storehouse")
    assert not any(name.startswith("pipeline.normalizers.") for name in core)
    assert all(source_digest._file(name, roots) for name in NOT_NUMERIC)


def test_a_copy_of_the_real_code_has_the_same_digests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = cell(IMAGES, probes=PROBES).settings
    here = source_digests(settings)
    copy = Path(shutil.copytree(catalog.ROOT, tmp_path / "pipeline"))
    monkeypatch.setattr(catalog, "ROOT", copy)
    monkeypatch.setattr(source_digest, "_PACKAGE", copy)
    assert source_digests(settings) == here
    with (copy / "normalizers/_ops/batch_norm.py").open("a") as file:
        file.write("\nOTHER = 1\n")
    source_digest._text.cache_clear()
    source_digest._digest.cache_clear()
    there = source_digests(settings)
    assert {name for name in here if here[name] != there[name]} == {"normalizers/batch"}


@pytest.mark.parametrize(
    ("changes", "packages"),
    [
        ({}, set()),
        ({"data": {"name": "digits"}}, {"sklearn"}),
        ({"data": {"name": "parquet"}}, {"pyarrow", "PIL", "fsspec", "filelock"}),
        ({"architecture": {"name": "torchvision/resnet18"}}, {"torchvision"}),
        ({"architecture": {"name": "timm/resnet10t"}}, {"torchvision", "timm"}),
        ({"training": {"optimizer": {"name": "schedule_free"}}}, {"schedulefree"}),
        # A loop of one's own has labels, which are no parts.
        ({"architecture": {"name": "Net"}, "training": {"optimizer": "SGD"}}, set()),
    ],
)
def test_packages_of_others_are_those_that_the_parts_import(
    changes: dict[str, Any], packages: set[str]
) -> None:
    gaussian = {**CELL, "data": {"name": "gaussian"}, "training": {"optimizer": "sgd"}}
    found = imported_packages({**gaussian, **changes})
    assert found - {"torch", "numpy"} == packages
