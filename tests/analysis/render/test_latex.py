"""The tables for LaTeX: booktabs alone, text that is text, no wider than a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import metrics as measures
from analysis.comparison import against
from analysis.load.sources import load
from analysis.render import latex
from analysis.render.table_layout import head, sheet
from analysis.tables.tables import Table, build
from tests.analysis.render.test_render import HOSTILE, MEASURES, example
from tests.helpers.synthetic_store import RECORDS, write_store


def test_latex_is_booktabs_only() -> None:
    tex = latex.table(sheet(example(HOSTILE)))
    assert re.findall(r"\\usepackage\{(\w+)\}", tex) == ["booktabs"]
    parts = tex.split(r"\begin{table}")[1:]
    for part in parts:
        assert re.findall(r"\\(\w+rule)", part) == ["toprule", "midrule", "bottomrule"]
        assert part.count(r"\begin{tabular}") == part.count(r"\end{tabular}") == 1
        inner = part[part.index(r"\midrule") : part.index(r"\bottomrule")]
        rows = inner.split(r"\\" + "\n")[:-1]
        assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [2, 2]
    assert len(parts) == tex.count(r"\end{table}") == 2  # the hostile label leaves little room


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
    every = [*measures.ICS, *measures.SMOOTHNESS, *measures.SHARPNESS, *measures.THEORY]
    for item in every:
        assert latex.escape(head(item.measure)).isascii(), item.measure.title


def test_a_wide_table_is_cut_into_parts_that_fit_a_page() -> None:
    rows = example().cells
    many = [replace(MEASURES[0], key=f"m{i}", title=f"a long title {i}") for i in range(12)]
    cells = [rows[rows["measure"] == "beta"].assign(measure=measure.key) for measure in many]
    tex = latex.table(sheet(replace(example(), measures=many, cells=pd.concat(cells))))
    parts = tex.split(r"\begin{table}")[1:]
    assert len(parts) > 1
    assert all("vgg11 & batch & " in part for part in parts)
    assert sum(part.count("long") for part in parts) == 12
    assert re.findall(r"\\label\{(.*?)\}", tex)[:2] == ["tab:table9", "tab:table9_2"]
    assert tex.count("A caption.") == 1


def long(rows: int) -> Table:
    """The example with so many rows, of which every cell has a note."""
    cells = example().cells
    one = cells[cells["normalizer"] == "batch"]
    many = [one.assign(normalizer=f"group{i}", note=f"{i} of 99 runs") for i in range(rows)]
    return replace(example(), cells=pd.concat(many))


def test_a_long_table_is_cut_into_parts_that_fit_a_page() -> None:
    tex = latex.table(sheet(long(80)))
    parts = tex.split(r"\begin{table}")[1:]
    assert [part.count("& group") for part in parts] == [36, 36, 8]
    assert re.findall(r"group\d+", tex) == [f"group{i}" for i in range(80)]
    assert "35 of 99 runs" in parts[0]
    assert "36 of 99 runs" not in parts[0]


def compiled(folder: Path, tables: list[Table]) -> str:
    """The log of pdflatex with the packages that the tables ask for and no other."""
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    body = "\n\\clearpage\n".join(latex.table(sheet(table)) for table in tables)
    (folder / "t.tex").write_text(f"{head}{body}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_latex_compiles_with_booktabs_alone_and_fits_the_page(
    tmp_path: Path, every_table: list[Table]
) -> None:
    log = compiled(tmp_path, every_table)
    assert "Overfull \\hbox" not in log, log
    assert "Float too large" not in compiled(tmp_path, [long(80)])
    assert "Output written" in compiled(tmp_path, [example(HOSTILE)])


def test_latex_escapes_every_special_character() -> None:
    escaped = latex.escape(HOSTILE)
    bare = re.sub(r"\\text\w+\{\}|\\[&#$%_{}]|''", "", escaped)
    assert not re.search(r"[\\&#$%_^~{}<>|\"]", bare)
