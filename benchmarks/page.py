"""What a report's page weighs and how fast it loads: python -m benchmarks.page

Makes a synthetic store of ten normalizers in three architectures at three learning rates, reports
it, and opens the page in headless Chromium. *Values* are what the figures' points add to the file,
*script* is all of the page's scripts. Loading is the median of five, until the load event and until
a value of a figure is on the screen.

``--pictures REPORT FOLDER`` instead saves the first screen of the page of a report's folder: on a
desk, on a phone, and dark. Two minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from playwright.sync_api import sync_playwright

from analysis.report.command import main as report
from benchmarks._copies import ARCHITECTURES, EVERY, LRS, NORMALIZERS, STEPS, TABLES
from benchmarks._timing import machine, table
from tests.helpers.machines.browser import CHROMIUM
from tests.helpers.stores.synthetic import write_store

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PICTURES: dict[str, dict[str, Any]] = {
    "report-desktop": {"viewport": DESK},
    "report-phone": {"viewport": PHONE},
    "report-dark": {"viewport": DESK, "color_scheme": "dark"},
}
_ROUNDS = 5


def main() -> None:
    """Print the table, or save the pictures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--pictures", type=Path, nargs=2, metavar=("REPORT", "FOLDER"))
    options = parser.parse_args()
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        if options.pictures:
            _save(browser, *options.pictures)
        else:
            _print(browser)
        browser.close()


def _save(browser: Any, report: Path, folder: Path) -> None:
    page = (report / "report.html").resolve(strict=True)
    for name, look in PICTURES.items():
        tab = browser.new_context(**look).new_page()
        tab.goto(page.as_uri())
        tab.screenshot(path=folder / f"{name}.png")


def _print(browser: Any) -> None:
    print(f"{machine(torch.device('cpu'))}; {os.cpu_count()} cores\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        page = _report(Path(folder))
        text = page.read_text(encoding="utf-8")
        parts = {
            "page": [text],
            "values": re.findall(r' data-points="[^"]*"', text),
            "script": re.findall(r"<script>.*?</script>", text, re.DOTALL),
        }
        sizes = [f"{sum(map(len, found)) / 1e6:.2f}" for found in parts.values()]
        loads = [_load(browser, page) for _ in range(_ROUNDS)]
    seconds = [f"{median(column):.2f}" for column in zip(*loads, strict=True)]
    header = ["normalizers", *(f"{name} (MB)" for name in parts), "loaded (s)", "first value (s)"]
    print(table(header, [["10", *sizes, *seconds]]))


def _report(folder: Path) -> Path:
    write_store(
        folder / "store",
        architectures=ARCHITECTURES[:3],
        normalizers=NORMALIZERS[:10],
        lrs=LRS[-3:],
        steps=STEPS,
        every=EVERY,
        tables=TABLES,
    )
    out = folder / "report"
    if report(["--storage", str(folder / "store"), "--tracking", "none", "--out", str(out)]):
        raise RuntimeError("no report")
    return out / "report.html"


def _load(browser: Any, page: Path) -> tuple[float, float]:
    tab = browser.new_context(viewport=DESK).new_page()
    start = time.monotonic()
    tab.goto(page.as_uri())
    loaded = time.monotonic() - start
    tab.locator(".drawing").first.focus()
    tab.keyboard.press("ArrowRight")
    tab.locator(".tip").wait_for(state="visible")
    return loaded, time.monotonic() - start


if __name__ == "__main__":
    main()
