"""The page in a browser: WCAG 2 A and AA by axe, the keyboard alone, a phone, no console error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.machines.browser import opened

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe")

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "preload": False}
UNROLLED = (
    "details > * { display: block } "
    ".scroll, .drawing { overflow: visible !important; max-height: none !important } "
    ".table th, .controls { position: static !important; max-height: none !important }"
)
"""What scrolls is shown in full, for axe judges the contrast of what it can see."""


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_no_barrier_and_no_error(browser: Any, report: Path, scheme: str, width: int) -> None:
    size = {"width": width, "height": 900}
    tab, complaints = opened(browser, report, color_scheme=scheme, viewport=size, bypass_csp=True)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    tab.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    tab.add_style_tag(content=UNROLLED)
    found = axe.Axe().run(tab, context={"exclude": ["svg *"]}, options=RULES)
    assert found.response["violations"] == [], found.generate_report()
    assert len(found.response["passes"]) > 10
    assert complaints == []


def focused(tab: Any) -> Any:
    return tab.locator(":focus")


@pytest.mark.slow
def test_the_keyboard_reaches_and_works_everything(browser: Any, report: Path) -> None:
    tab, complaints = opened(browser, report, viewport={"width": 1280, "height": 900})
    tab.keyboard.press("Tab")
    assert focused(tab).inner_text() == "Skip to the report"
    assert focused(tab).bounding_box()["x"] >= 0
    tab.keyboard.press("Enter")
    assert tab.url.endswith("#main")
    tab.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    wanted = tab.locator("main a, main button, main input, main summary, main select").all()
    reached = 0
    for _ in range(3 * len(wanted)):
        tab.keyboard.press("Tab")
        if focused(tab).count() == 0:
            break
        reached += focused(tab).evaluate("e => e.matches('a, button, input, summary, select')")
        assert focused(tab).evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert reached == len(wanted)
    assert complaints == []


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_keys_sort_a_table(browser: Any, report: Path, key: str) -> None:
    tab, _ = opened(browser, report)
    table = tab.locator("#table3_training")
    head = table.locator("thead th", has_text="final training loss")
    column = head.evaluate("e => e.cellIndex") + 1
    first = table.locator(f"tbody tr:nth-child(2) > :nth-child({column})")
    head.locator("button").focus()
    for direction, text in (("ascending", "0.00735"), ("descending", "diverged")):
        tab.keyboard.press(key)
        assert head.get_attribute("aria-sort") == direction
        assert text in first.inner_text()
    assert table.locator("th[aria-sort=ascending], th[aria-sort=descending]").count() == 1


def test_a_filter_keeps_the_rows_with_every_word(browser: Any, report: Path) -> None:
    tab, _ = opened(browser, report)
    table = tab.locator("#table3_training")
    table.locator("input").focus()
    tab.keyboard.type("vgg BATCH")
    assert table.locator("tbody tr:not(.block):visible").count() == 1
    assert table.locator("output").inner_text() == "1 of 2 rows"
    tab.keyboard.press("Control+A")
    tab.keyboard.press("Delete")
    assert table.locator("tbody tr:not(.block):visible").count() == 2


def test_on_paper_all_evidence_is_open_and_nothing_is_cut(browser: Any, report: Path) -> None:
    tab, _ = opened(browser, report, viewport={"width": 1030, "height": 700})  # A4 across
    tab.emulate_media(media="print")
    hidden = "[...document.querySelectorAll('details > ul')].filter(e => !e.offsetHeight).length"
    assert tab.evaluate(hidden) == 0
    assert tab.locator("nav").is_hidden()
    assert tab.evaluate("document.documentElement.scrollWidth") == 1030


def test_the_page_is_ten_screens_and_a_link_unfolds_its_evidence(
    browser: Any, report: Path
) -> None:
    tab, complaints = opened(browser, report, viewport={"width": 1280, "height": 900})
    assert tab.evaluate("document.documentElement.scrollHeight") <= 10 * 900
    assert tab.locator("figure:visible").count() <= 8
    link = tab.locator(".matrix td a").first
    place = tab.locator(f"[id='{link.get_attribute('href').removeprefix('#')}']")
    assert place.is_hidden()
    link.click()
    place.wait_for(state="visible")
    assert complaints == []


def test_columns_are_switched_on_and_off(browser: Any, report: Path) -> None:
    tab, _ = opened(browser, report)
    details = tab.locator("#table3_training-details")
    details.locator("summary").first.click()
    box = details.locator("fieldset label", has_text="final training loss").locator("input")
    head = details.locator("thead th", has_text="final training loss")
    assert head.is_visible()
    box.uncheck()
    assert head.is_hidden()


@pytest.mark.slow
def test_every_link_within_the_page_has_a_target(browser: Any, report: Path) -> None:
    tab, _ = opened(browser, report, java_script_enabled=False)
    wanted = {a.get_attribute("href").removeprefix("#") for a in tab.locator("a[href^='#']").all()}
    ids = {e.get_attribute("id") for e in tab.locator("[id]:not(svg *)").all()}
    assert wanted <= ids
