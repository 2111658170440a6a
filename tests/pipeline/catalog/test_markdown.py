from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.catalog import POSITIONAL
from pipeline.catalog import registry as catalog
from pipeline.catalog.markdown import listing, normalizers_page

ROOT = Path(__file__).parents[3]


def test_the_page_in_the_docs_is_in_step_with_the_code() -> None:
    page = (ROOT / "docs" / "normalizers.md").read_text(encoding="utf-8")
    right = "python -m pipeline.catalog normalizers > docs/normalizers.md"
    assert page == normalizers_page(), f"make it anew: {right}"


@pytest.mark.parametrize("kind", sorted(POSITIONAL))
def test_a_listing_names_every_part_and_option(kind: str) -> None:
    text = listing(kind)
    for part in catalog.parts(kind).values():
        family, _, member = part.name.rpartition("/")
        if family:
            assert f"{family}/<name>" in text
            if family != "timm":  # of its thousand names only the number is there
                assert f" {member}," in text.replace("\n", " ").replace(".", ",")
            continue
        assert f"{part.name} " in f"{text} "
        assert part.summary in text
        assert all(name in text for name in part.options)


def test_the_command_prints_the_page() -> None:
    command = [sys.executable, "-m", "pipeline.catalog", "normalizers"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == normalizers_page()
