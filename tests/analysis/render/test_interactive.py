"""Figures that answer the reader, in a browser: values, normalizers, highlights, learning rates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from analysis.report.command import main
from tests.helpers.machines.browser import opened
from tests.helpers.stores.synthetic import write_store

DESK = {"viewport": {"width": 1280, "height": 900}}
LOSS = "#training_loss"


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three normalizers at two learning rates."""
    folder = tmp_path_factory.mktemp("rates")
    write_store(folder / "store", architectures=["vgg11"], seeds=[0, 1], steps=20)
    out = folder / "report"
    told = ["--storage", str(folder / "store"), "--tracking", "none", "--out", str(out)]
    assert main(told) == 0
    return out / "report.html"


def chosen(tab: Any) -> Any:
    tab.locator("#controls summary").click()
    return tab.locator("#controls form")


def opacity(tab: Any, normalizer: str, rate: str) -> float:
    mark = f"{LOSS} [data-lr='{rate}'] > [data-normalizer='{normalizer}'][data-points]"
    return float(tab.locator(mark).first.evaluate("e => getComputedStyle(e).opacity"))


@pytest.mark.slow
def test_pointing_at_a_figure_reads_a_value(browser: Any, rates: Path) -> None:
    tab, complaints = opened(browser, rates, **DESK)
    assert tab.locator(".tip").is_hidden()
    panel = tab.locator(f"{LOSS} [data-lr='0.1'] path").first.bounding_box()
    tab.mouse.move(panel["x"] + panel["width"] / 2, panel["y"] + panel["height"] / 2)
    text = tab.locator(".tip").inner_text()
    assert re.fullmatch(
        r"(none|batch|layer): VGG-11, LR 0.1\ntraining \(steps\): [\d.]+\n"
        r"training loss \(nats\): [\d.]+( \[[\d.]+, [\d.]+\])?",
        text,
    )
    tab.mouse.move(5, 5)
    assert tab.locator(".tip").is_hidden()
    assert complaints == []


@pytest.mark.slow
def test_arrow_keys_read_values_and_escape_closes(browser: Any, rates: Path) -> None:
    tab, complaints = opened(browser, rates, **DESK)
    tab.locator(f"{LOSS} .drawing").focus()
    said = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown"):
        tab.keyboard.press(key)
        said.append(tab.locator(".tip").inner_text())
    assert said[0] == said[2] != said[1]
    assert said[3].split(":")[0] != said[0].split(":")[0]
    assert tab.locator("svg .read").count() == 1
    tab.keyboard.press("Escape")
    assert tab.locator(".tip").is_hidden()
    assert complaints == []


def test_a_normalizer_is_switched_off_in_all_figures(browser: Any, rates: Path) -> None:
    tab, _ = opened(browser, rates, **DESK)
    form = chosen(tab)
    form.locator("input[value=layer]").uncheck()
    lines = tab.locator(f"{LOSS} [data-box] [data-normalizer=layer]")
    assert lines.count() > 0
    assert all(line.is_hidden() for line in lines.all())
    assert tab.locator("#controls output").inner_text().startswith("2 of 3 normalizers")
    assert tab.evaluate(
        "[...document.querySelectorAll('[data-box] [data-normalizer]')]"
        ".every(e => e.classList.contains('off') === (e.dataset.normalizer === 'layer'))"
    )
    form.locator("button").click()
    assert lines.first.evaluate("e => getComputedStyle(e).display") != "none"


def test_two_are_highlighted_and_one_rate_is_picked(browser: Any, rates: Path) -> None:
    tab, complaints = opened(browser, rates, **DESK)
    form = chosen(tab)
    form.locator("[name=first]").select_option("batch")
    form.locator("[name=second]").select_option("none")
    found = {name: opacity(tab, name, "0.1") for name in ("batch", "none", "layer")}
    assert found == {"batch": 1.0, "none": 1.0, "layer": 0.1}
    form.locator("[name=rate]").select_option("0.01")
    assert opacity(tab, "batch", "0.01") == 1.0
    assert opacity(tab, "batch", "0.1") == 0.1
    assert "batch and none highlighted, learning rate 0.01" in tab.locator("#controls").inner_text()
    assert complaints == []


def test_a_click_on_the_key_highlights(browser: Any, rates: Path) -> None:
    tab, _ = opened(browser, rates, **DESK)
    tab.locator(f"{LOSS} text", has_text=re.compile("^layer$")).click()
    assert opacity(tab, "batch", "0.1") == 0.1
    assert opacity(tab, "layer", "0.1") == 1.0


def test_without_scripts_the_figures_stay_and_the_controls_are_away(
    browser: Any, rates: Path
) -> None:
    tab, _ = opened(browser, rates, **DESK, java_script_enabled=False)
    assert tab.locator("#controls").is_hidden()
    assert tab.locator(f"{LOSS} svg").is_visible()
