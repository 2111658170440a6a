from __future__ import annotations

import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.load.sources import Study
from analysis.render import html, latex, markdown, table_files
from analysis.render.page import Health, compose
from analysis.render.save_figure import drawn
from analysis.render.table_layout import RESCALES_MEANS, sheet
from analysis.tables.tables import Measure, Table
from analysis.text import numbers

HOSTILE = '<script>alert("1")</script> & a_b|c #$%^~{\\x} *d* `e` [f](g)'
MEASURES = [
    Measure(key="beta", title="effective β", better="lower", rescales=True, definition="Its max."),
    Measure(key="acc", title="accuracy", unit="%", better="higher", definition="Share of right."),
]


def table_of(rows: list[dict[str, Any]]) -> Table:
    given = {"low": np.nan, "high": np.nan, "n": 3, "best": False, "note": ""}
    return Table(
        name="table9",
        title="A title",
        caption="A caption.",
        keys=["architecture", "normalizer"],
        measures=MEASURES,
        cells=pd.DataFrame([{**given, **row} for row in rows]),
    )


def example(label: str = "batch") -> Table:
    names = {"architecture": "vgg11", "normalizer": label}
    other = {"architecture": "vgg11", "normalizer": "none"}
    return table_of(
        [
            {**names, "measure": "beta", "estimate": 0.12345, "low": 0.11, "high": 0.14},
            {**other, "measure": "beta", "estimate": 12.0, "best": True, "note": "diverged 1/3"},
            {**names, "measure": "acc", "estimate": -1.5, "low": -2.0, "high": -1.25, "best": True},
            {**other, "measure": "acc", "estimate": np.nan, "n": 0, "note": "not estimable"},
        ]
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.12345, 0.11, 0.14), "0.123 [0.110, 0.140]"),
        ((123.4, 100.0, 200.0), "123 [100, 200]"),
        ((12345.6, 12000.0, 13000.0), "12346 [12000, 13000]"),
        ((0.001, -0.4, 0.6), "0.001 [-0.400, 0.600]"),
        ((1.2e-5, 1e-5, 2e-5), "1.20e-05 [1.00e-05, 2.00e-05]"),
        ((0.9996, 0.9, 1.1), "1.00 [0.90, 1.10]"),
        ((-1e-9, -1.0, 1.0), "0.000 [-1.000, 1.000]"),
        ((0.0, 0.0, 0.0), "0 [0, 0]"),
        ((5.0, math.nan, math.nan), "5.00"),
        ((0.45, 0.0, 2.1), "0.450 [<0.001, 2.100]"),
        ((3.1, 0.002, 550.0), "3 [<1, 550]"),
        ((0.0, 0.0, 39.0), "0.00 [0.00, 39.00]"),
        ((0.12, 0.1, math.inf), "0.120 [0.100, ∞]"),
        ((math.inf, math.nan, math.nan), "diverged"),
        ((math.nan, math.nan, math.nan), numbers.MISSING),
    ],
)
def test_numbers_print(values: tuple[float, float, float], text: str) -> None:
    center, low, high = numbers.triple(*values, 3)
    assert f"{center} {numbers.interval(low, high)}".strip() == text


@given(st.floats(-1e9, 1e9, allow_subnormal=False), st.integers(1, 6))
def test_significant_digits_are_kept(value: float, digits: int) -> None:
    printed = float(numbers.significant(value, digits))
    assert printed == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


def test_all_formats_agree_to_the_printed_digit() -> None:
    table = example()
    laid_out = sheet(table)
    exact = pd.read_csv(io.BytesIO(table_files.csv(table)))
    pd.testing.assert_frame_equal(exact, pd.read_parquet(io.BytesIO(table_files.parquet(table))))
    texts = {
        "md": markdown.table(laid_out).replace("\\", ""),
        "tex": re.sub(
            r"\\textbf|[{}]", "", latex.table(laid_out).replace(r"\\{\tiny ", " ")
        ).replace("$-$", "-"),
    }
    for row, printed in zip(exact.to_dict("records"), laid_out.rows, strict=True):
        for measure, cell in zip(MEASURES, printed.cells, strict=True):
            if math.isnan(row[measure.key]):
                assert cell.full == numbers.MISSING
                continue
            found = [float(n) for n in re.findall(r"-?[\d.]+(?:e-?\d+)?", cell.full)]
            known = [row[measure.key + part] for part in ("", "_low", "_high")]
            known = [value for value in known if not math.isnan(value)]
            assert found == pytest.approx(known, abs=0.0051 if measure.key == "acc" else 0.051)
            assert all(cell.full in text for text in texts.values())


def test_csv_keeps_every_digit() -> None:
    value = 0.1 + 0.2
    row = {"architecture": "a", "normalizer": "b", "measure": "beta", "estimate": value}
    rows = pd.read_csv(io.BytesIO(table_files.csv(table_of([row]))), dtype=str)
    assert float(rows["beta"][0]) == value
    assert rows["beta_n"][0] == "3"
    assert rows["acc_n"][0] == "0"
    names = ["architecture", "normalizer", "beta", "beta_low", "beta_high", "beta_n"]
    assert list(rows.columns)[:6] == names


def test_best_is_bold_and_notes_are_marked() -> None:
    laid_out = sheet(example())
    assert "**12.0** <sup>a</sup>" in markdown.table(laid_out)
    assert "<sup>a</sup> diverged 1/3; <sup>b</sup> not estimable" in markdown.table(laid_out)
    tex = latex.table(laid_out)
    assert r"\textbf{12.0}$^{\mathrm{a}}$" in tex
    assert r"\shortstack[r]{\textbf{$-$1.50}\\{\tiny [$-$2.00, $-$1.25]}}" in tex
    assert r"effective $\beta$ $^\dagger$" in tex


def test_by_block_has_a_table_per_measure_and_a_column_per_block() -> None:
    given = {"measure": "beta", "estimate": 2.0, "low": 1.5, "high": 3.0}
    cells = [
        {**given, "architecture": "vgg11", "normalizer": "none", "note": "stuck 1/3"},
        {**given, "architecture": "resnet20", "normalizer": "none", "best": True},
        {**given, "architecture": "resnet20", "normalizer": "batch"},
    ]
    tables = markdown.by_block(sheet(table_of(cells))).split("\n\n")
    caption, beta, values, accuracy, missing, below = tables
    assert (caption, beta) == ("**A title.** A caption.", "**effective β †**")
    assert values.splitlines() == [
        "| normalizer | vgg11 | resnet20 |",
        "| --- | ---: | ---: |",
        r"| none | 2.00 \[1.50, 3.00\] <sup>a</sup> | **2.00 \[1.50, 3.00\]** |",
        rf"| batch | {numbers.MISSING} | 2.00 \[1.50, 3.00\] |",
    ]
    assert accuracy == "**accuracy (%)**"
    assert "2.0" not in missing
    assert below == f"{RESCALES_MEANS}; <sup>a</sup> stuck 1/3\n"


def test_markdown_labels_are_text() -> None:
    text = markdown.table(sheet(example(HOSTILE)))
    row = next(line for line in text.splitlines() if "script" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert not re.search(r"(?<!\\)[<`*_\[]", row.split(" | ")[1])


class Tags(HTMLParser):
    """Gathers what a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "br", "wbr", "!doctype"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def page_of(label: str) -> str:
    health = pd.DataFrame([{"sweep": label, "architecture": label, "normalizer": label}])
    counts = {"planned": 1, "ok": 1}
    counts |= dict.fromkeys(("diverged", "time_limit", "failed", "absent", "stuck"), 0)
    health = Health(health.assign(**counts), counts, 1)
    study = Study(
        [label],
        pd.DataFrame({"cell_id": ["aa"]}),
        pd.DataFrame(),
        {},
        [label],
        {"devices": [label]},
    )
    table = example(label)
    return html.page(compose(study, health, [table], [sheet(table)], [], []))


def test_html_escapes_labels_everywhere() -> None:
    text = page_of(HOSTILE)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(&#34;1&#34;)") >= 7
    assert len(Tags(text).of("script")) == 1


def test_html_breaks_names_between_their_parts() -> None:
    assert ">densenet(<wbr>depth=13, growth=6)<" in page_of("densenet(depth=13, growth=6)")
    assert ">noisy_<wbr>batch<" in page_of("noisy_batch")


def test_html_is_well_formed_and_accessible() -> None:
    tags = Tags(page_of("batch"))
    assert tags.open == []
    assert tags.of("html") == [{"lang": "en"}]
    assert len(tags.of("caption")) == len(tags.of("table")) == 3
    assert all(head["scope"] in ("col", "row", "rowgroup") for head in tags.of("th"))
    heads = [button for button in tags.of("button") if button["type"] == "button"]
    assert sum("aria-sort" in head for head in tags.of("th")) == len(heads)
    scrolled = [box for box in tags.of("div") if box.get("class") == "scroll"]
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in scrolled)


def test_html_needs_no_network() -> None:
    text = page_of("batch")
    tags = Tags(text)
    places = [a.get("href") or a.get("src") for _, a in tags.found if a.get("href") or a.get("src")]
    assert not [place for place in places if place and re.match(r"\w+:(?!,)|//", place)]
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\(|fetch\(|XMLHttp", text)


def test_html_sorts_by_the_full_number() -> None:
    orders = [
        cell["data-order"] for cell in Tags(page_of("batch")).of("td") if "data-order" in cell
    ]
    assert orders[:4] == orders[4:8] == ["0.12345", "-1.5", "12.0", ""]


def test_saved_figures_have_the_same_bytes_and_no_date() -> None:
    from matplotlib.figure import Figure as Drawing

    def draw() -> Drawing:
        drawing = Drawing(figsize=(2, 2))
        drawing.add_subplot().plot([1, 2], [3, 4], marker="o", label="a & b")
        return drawing

    one, two = drawn(draw, "figure"), drawn(draw, "figure")
    assert one == two
    assert b"CreationDate" not in one["pdf"]
    assert b"<dc:date>" not in one["svg"]


def test_inlined_figures_share_no_ids(tmp_path: Path) -> None:
    from matplotlib.figure import Figure as Drawing

    def draw() -> Drawing:
        drawing = Drawing(figsize=(2, 2))
        drawing.add_subplot().fill_between([1, 2], [3, 4])
        return drawing

    svgs = {name: drawn(draw, name)["svg"].decode() for name in ("one", "two")}
    pages = [html.inline(svg, name, 'A "title" <b>') for name, svg in svgs.items()]
    ids = [set(re.findall(r'\bid="([^"]+)"', page)) for page in pages]
    used = [set(re.findall(r'(?:href="|url\()#([^")]+)', page)) for page in pages]
    assert not ids[0] & ids[1]
    assert used[0] <= ids[0]
    assert used[1] <= ids[1]
    assert 'aria-label="A &#34;title&#34; &lt;b&gt;"' in pages[0]


def test_the_codebook_has_every_column_of_every_file() -> None:
    table = example()
    table.cells["lr"] = [0.1, 0.1, math.nan, math.nan]
    table.cells["reached"] = [2.0, 3.0, math.nan, math.nan]
    rows = pd.read_csv(io.BytesIO(table_files.codebook([table])), keep_default_na=False)
    columns = list(pd.read_csv(io.BytesIO(table_files.csv(table))).columns)
    assert sorted(rows["column"]) == sorted(columns)
    assert {"beta_lr", "beta_reached"} < set(columns)
    assert "acc_lr" not in columns
    by_column = rows.set_index("column")
    assert list(by_column.loc["acc"][["title", "unit", "definition"]]) == [
        "accuracy", "%", "Share of right.",
    ]  # fmt: skip
    assert by_column.loc["beta_reached", "unit"] == "1"
    assert (rows["definition"] != "").all()
