"""What the documentation refers to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COLUMNS = {"test_accuracy", "test_loss"}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def identify(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", page.read_text())) - COLUMNS
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert named <= set(re.findall(r"^def (test_\w+)\(", code, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert not [each for each in linked if not (page.parent / each).exists()]
