"""The tables for LaTeX: booktabs alone, text that is text, no wider than a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import metrics
from analysis.comparison import against
from analysis.load.sources import load
from analysis.render import latex
from analysis.render.table_layout import head, sheet
from analysis.tables.tables import Table, build
from tests.analysis.render.test_render import HOSTILE, MEASURES, example
from tests.helpers.stores.synthetic import RECORDS, write_store


def test_latex_needs_three_packages_and_has_one_float() -> None:
    tex = latex.table(sheet(example(HOSTILE)))
    assert re.findall(r"\\usepackage\{(\w+)\}", tex) == list(latex.PACKAGES)
    assert re.findall(r"\\(\w+rule)\b", tex) == ["toprule", "midrule", "bottomrule"]
    assert tex.count(r"\begin{table*}") == tex.count(r"\end{table*}") == 1
    inner = tex[tex.index(r"\midrule") : tex.index(r"\bottomrule")]
    rows = inner.split(r" \\" + "\n")[:-1]
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [3, 3]


def test_a_block_has_its_label_once_and_small_intervals() -> None:
    tex = latex.table(sheet(example()))
    assert r"\multirow{2}{*}{vgg11} & batch & \shortstack[r]{0.123\\{\tiny [0.110, 0.140]}}" in tex
    assert tex.count("vgg11") == 1


@pytest.fixture(scope="module")
def every_table(tmp_path_factory: pytest.TempPathFactory) -> list[Table]:
    """The six tables of a study with all records, of which one cell is missing."""
    folder = tmp_path_factory.mktemp("store")
    write_store(folder, seeds=[0, 1], tables=RECORDS, missing=[("layer", 0.1, 0)])
    study = load(str(folder))
    return [*build(study), against(study, study).table]


def test_latex_knows_every_symbol_of_the_tables(every_table: list[Table]) -> None:
    """What is not ASCII in a title, caption, note or unit compiles in no font but mathematics."""
    assert len(every_table) == 6
    for table in every_table:
        assert latex.table(sheet(table)).isascii(), table.name
    every = [*metrics.ICS, *metrics.SMOOTHNESS, *metrics.SHARPNESS, *metrics.THEORY]
    for item in every:
        assert latex.escape(head(item.measure)).isascii(), item.measure.title


def test_a_wide_table_has_its_headline_columns_alone() -> None:
    rows = example().cells
    many = [replace(MEASURES[0], key=f"m{i}", title=f"a long title {i}") for i in range(12)]
    cells = [rows[rows["measure"] == "beta"].assign(measure=measure.key) for measure in many]
    tex = latex.table(sheet(replace(example(), measures=many, cells=pd.concat(cells))))
    assert len(tex.split(r"\begin{table*}")) == 2
    assert tex.count("a long title") == 6
    assert tex.count("A caption.") == 1


def long(rows: int) -> Table:
    """The example with so many rows, of which every cell has a note."""
    cells = example().cells
    one = cells[cells["normalizer"] == "batch"]
    many = [one.assign(normalizer=f"group{i}", note=f"{i} of 99 runs") for i in range(rows)]
    return replace(example(), cells=pd.concat(many))


def test_a_long_table_is_cut_into_parts_that_fit_a_page() -> None:
    tex = latex.table(sheet(long(80)))
    parts = tex.split(r"\begin{table*}")[1:]
    assert [part.count("& group") for part in parts] == [22, 22, 22, 14]
    assert re.findall(r"group\d+", tex) == [f"group{i}" for i in range(80)]
    assert "21 of 99 runs" in parts[0]
    assert "22 of 99 runs" not in parts[0]


def compiled(folder: Path, tables: list[Table], columns: str) -> str:
    """The log of pdflatex with the packages that the tables ask for and no other."""
    packages = "".join(rf"\usepackage{{{name}}}" for name in latex.PACKAGES)
    head = f"\\documentclass[{columns}]{{article}}\n{packages}\n\\begin{{document}}\n"
    body = "\n".join(latex.table(sheet(table)) for table in tables)
    (folder / "t.tex").write_text(f"{head}{body}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_all_tables_compile_in_one_document_and_fit_the_page(
    tmp_path: Path, every_table: list[Table], columns: str
) -> None:
    log = compiled(tmp_path, [*every_table, long(80), example(HOSTILE)], columns)
    assert "Overfull \\hbox" not in log, log
    assert "Float too large" not in log, log
    assert "Output written" in log


def test_latex_escapes_every_special_character() -> None:
    escaped = latex.escape(HOSTILE)
    bare = re.sub(r"\\text\w+\{\}|\\[&#$%_{}]|''", "", escaped)
    assert not re.search(r"[\\&#$%_^~{}<>|\"]", bare)
