"""What the summary run in MLflow gets of a written report: its first screen, and counts."""

from __future__ import annotations

import json
from pathlib import Path

_LONGEST = 5000
"""Characters of a tag's value that MLflow keeps."""
_COUNTS = {"health/": "cells/", "summary/verdicts": "verdicts"}
"""Starts of keys in results.json that are counts, and their starts in MLflow."""


def note(folder: Path) -> str:
    """The report's first screen, in Markdown."""
    text = (folder / "report.md").read_text(encoding="utf-8")
    return text.partition("\n## Answers")[0][:_LONGEST]


def counts(folder: Path) -> dict[str, float]:
    """Cells by how they ended, and verdicts by kind: ``cells/ok``, ``verdicts/supported``."""
    results = json.loads((folder / "results.json").read_bytes())
    return {
        new + key.removeprefix(start): float(entry["value"])
        for key, entry in results.items()
        for start, new in _COUNTS.items()
        if key.startswith(start) and entry["value"] is not None
    }
