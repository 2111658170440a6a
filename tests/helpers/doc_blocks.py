"""Tables and sentences of the documentation that a report has word for word.

A block of a page names the study file below docs/studies, the report's file, and how its first
paragraph begins:

    <!-- normalizers-cpu: report.md: | claim | -->
    …
    <!-- end -->

A first paragraph in bold alone is a heading: a table that follows it belongs to the block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from analysis.report.command import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "findings.md"]
STUDIES = ROOT / "docs" / "studies"
_BLOCK = re.compile(r"<!-- ([\w-]+): (\S+): (.+?) -->\n(.*?)<!-- end -->", re.DOTALL)
_PICTURE = re.compile(r"\(((?:docs/)?pictures/([\w-]+)/(\w+)\.svg)\)")


def reports_below(folder: Path) -> dict[str, Path]:
    """The reports of all study files, made below a folder: each study's own folder.

    Raises:
        RuntimeError: where the command ends with an error, which it prints.
    """
    folders = {study.stem: folder / study.stem for study in sorted(STUDIES.glob("*.study"))}
    for name, out in folders.items():
        if main(["--from", str(STUDIES / f"{name}.study"), "--out", str(out)]):
            raise RuntimeError(f"no report of {name}")
    return folders


def renewed(page: str, reports: Mapping[str, Path]) -> str:
    """A page with every block as the reports have it now.

    Args:
        reports: the folder of each study's report.

    Raises:
        ValueError: where a report has no paragraph that begins so.
    """

    def block(match: re.Match[str]) -> str:
        study, file, start, _ = match.groups()
        text = paragraphs((reports[study] / file).read_text(), start)
        return f"<!-- {study}: {file}: {start} -->\n\n{text}\n\n<!-- end -->"

    return _BLOCK.sub(block, page)


def paragraphs(text: str, start: str) -> str:
    """The paragraph that begins with ``start``; with the table after it, where it is a heading."""
    parts = text.rstrip().split("\n\n")
    for i, part in enumerate(parts):
        if part.startswith(start):
            bold = part.startswith("**") and part.endswith("**")
            heading = bold and parts[i + 1 : i + 2] and parts[i + 1].startswith("|")
            return "\n\n".join(parts[i : i + 1 + bool(heading)])
    raise ValueError(f"no paragraph begins with {start!r}")


def blocks(page: str) -> list[str]:
    """What each block of a page has between its marks."""
    return [match[4].strip() for match in _BLOCK.finditer(page)]


def pictures(page: Path) -> list[tuple[Path, str, str]]:
    """The pictures of a page that a report has: the file, its study, and the figure's name."""
    found = _PICTURE.findall(page.read_text())
    return [(page.parent / file, study, name) for file, study, name in found]
