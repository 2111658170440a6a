"""A headless Chromium, and a tab of it with a report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)


def opened(browser: Any, report: Path, **options: Any) -> tuple[Any, list[str]]:
    """A tab with the report, and what its console complains of."""
    tab = browser.new_context(**options).new_page()
    complaints: list[str] = []
    tab.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("requestfailed", lambda request: complaints.append(request.url))
    tab.goto(report.as_uri())
    return tab, complaints
