"""What README and docs/findings.md have of a study is what its study file gives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.doc_blocks import (
    PAGES,
    STUDIES,
    blocks,
    paragraphs,
    pictures,
    renewed,
    reports_below,
)

NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
INTERVAL = re.compile(r"-?[\d.e-]+ \[[^\]\\]+\]")
FINDINGS = next(page for page in PAGES if page.name == "findings.md")
SECTIONS = {"normalizers-cpu": ("## Every claim and question", "## Deep linear network")}
"""The text that cites a study in words of its own: from one heading to another."""
LARGEST = 10e6
"""Bytes that all study files may have together."""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return reports_below(tmp_path_factory.mktemp("reports"))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_the_reports(page: Path, reports: dict[str, Path]) -> None:
    """To renew them: python -m benchmarks.findings."""
    text = page.read_text()
    assert len(blocks(text)) >= 2
    assert all(blocks(text))
    assert renewed(text, reports) == text


@pytest.mark.slow
def test_every_picture_is_the_reports(reports: dict[str, Path]) -> None:
    """The same drawing; coordinates may differ by rounding between machines."""
    found = [picture for page in PAGES for picture in pictures(page)]
    assert found
    for file, study, name in found:
        here = file.read_text()
        there = (reports[study] / "figures" / f"{name}.svg").read_text()
        assert NUMBER.sub("0", here) == NUMBER.sub("0", there), name
        numbers = [np.array([float(n) for n in NUMBER.findall(text)]) for text in (here, there)]
        np.testing.assert_allclose(*numbers, rtol=1e-3, atol=0.05, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("study", SECTIONS)
def test_every_interval_that_the_text_cites_is_in_the_report(
    study: str, reports: dict[str, Path]
) -> None:
    text = section(FINDINGS.read_text(), *SECTIONS[study])
    cited = set(INTERVAL.findall(text))
    assert len(cited) > 20
    report = (reports[study] / "report.md").read_text().replace("\\", "")
    assert [each for each in cited if each not in report] == []


def section(text: str, first: str, after: str) -> str:
    """The text from one heading to another."""
    return text[text.index(first) : text.index(after)]


def test_study_files_are_small() -> None:
    sizes = [study.stat().st_size for study in STUDIES.glob("*.study")]
    assert 0 < sum(sizes) < LARGEST


def test_a_block_is_found_by_how_it_begins() -> None:
    text = "# A\n\n**one**\n\n| a |\n| - |\n\n**two**\n\n| b |\n\nend **x**\n"
    assert paragraphs(text, "**two**") == "**two**\n\n| b |"
    assert paragraphs(text, "| a") == "| a |\n| - |"
    assert paragraphs(text, "end") == "end **x**"
    assert paragraphs("**a**\n\nb", "**a") == "**a**" == paragraphs("**a**", "**a")
    with pytest.raises(ValueError, match="no paragraph begins with '\\*\\*three'"):
        paragraphs(text, "**three")
