"""Tables as LaTeX: the headline columns of each in one float, blocks by multirow.

``table*`` is as wide as the page in a document of one or of two columns; a table that is wider yet
is scaled down to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from textwrap import wrap

from analysis.render.table_layout import RESCALES, RESCALES_MEANS, Cell, Row, Sheet
from analysis.text import MISSING

_TEXT = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "—": "---",
    "–": "--",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‖": r"$\Vert$",
    "−": "$-$",
    "√": r"$\surd$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "²": r"$^2$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∇": r"$\nabla$",
    "′": r"$'$",
    "Δ": r"$\Delta$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "η": r"$\eta$",
    "θ": r"$\theta$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "σ": r"$\sigma$",
    "₀": r"$_0$",
    "₁": r"$_1$",
    "₂": r"$_2$",
    "∞": r"$\infty$",
    "ψ": r"$\psi$",
    "τ": r"$\tau$",
    "ρ": r"$\rho$",
    "ĝ": r"$\hat{g}$",
    "ᵀ": r"$^{\mathsf{T}}$",
    "→": r"$\to$",
    RESCALES: r"$^\dagger$",
}


def escape(text: str) -> str:
    """Text that LaTeX prints as it is, the field's symbols as mathematics."""
    return "".join(_TEXT.get(character, character) for character in " ".join(text.split()))


HEAD = 16
"""Characters of a line of a column's head; a longer word has a line of its own."""
ROWS = 22
"""Rows that fit a page with a caption above and the notes of their cells below."""
PACKAGES = ("booktabs", "multirow", "adjustbox")


def table(sheet: Sheet) -> str:
    """One float of the headline columns; a second one only for what no page has room for.

    Each ends with the notes of its own cells.
    """
    sheet = sheet.headline if sheet.first else sheet
    notes = sheet.footnotes()
    starts = range(0, max(1, len(sheet.rows)), ROWS)
    floats = [_float(sheet, sheet.rows[i : i + ROWS], i // ROWS, notes) for i in starts]
    needs = "".join(rf"\usepackage{{{name}}} " for name in PACKAGES).strip()
    return f"% needs {needs}\n" + "\n".join(floats)


def _float(sheet: Sheet, shown: list[Row], number: int, notes: dict[str, str]) -> str:
    key = "; ".join(f"{name}: {label}" for name, label in sheet.key)
    below = _below(sheet, shown, notes) + ([escape(key)] if key else [])
    caption = f"{escape(sheet.title)} (continued)." if number else _caption(sheet)
    heads = [*map(escape, sheet.keys), *map(_stacked, sheet.heads)]
    lines = [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{sheet.name}{f'_{number + 1}' if number else ''}}}",
        r"\footnotesize\setlength{\tabcolsep}{4pt}",
        r"\begin{adjustbox}{max width=\textwidth}",
        rf"\begin{{tabular}}{{{'l' * len(sheet.keys) + 'r' * len(sheet.heads)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *_body(shown, notes),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{adjustbox}",
        *([r"\par\smallskip\scriptsize " + "; ".join(below)] if below else []),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _body(shown: list[Row], notes: dict[str, str]) -> Iterator[str]:
    """The rows, the labels of a block once for all of its rows, a rule between two blocks."""
    for i, (block, group) in enumerate(groupby(shown, key=lambda row: tuple(row.labels[:-1]))):
        rows = list(group)
        if i:
            yield r"\midrule"
        for j, row in enumerate(rows):
            several = rf"\multirow{{{len(rows)}}}{{*}}{{%s}}" if len(rows) > 1 else "%s"
            labels = [several.replace("%s", escape(label)) if not j else "" for label in block]
            cells = [_cell(cell, notes) for cell in row.cells]
            yield " & ".join([*labels, escape(row.labels[-1]), *cells]) + r" \\"


def _caption(sheet: Sheet) -> str:
    return f"{escape(sheet.title)}. {escape(sheet.caption)}"


def _stacked(head: str) -> str:
    """A column's head in short lines."""
    lines = wrap(head, HEAD, break_long_words=False, break_on_hyphens=False)
    stacked = r"\\".join(map(escape, lines))
    return rf"\shortstack[r]{{{stacked}}}" if len(lines) > 1 else stacked


def _below(sheet: Sheet, shown: list[Row], notes: dict[str, str]) -> list[str]:
    used = {cell.note for row in shown for cell in row.cells}
    below = [
        rf"$^{{\mathrm{{{mark}}}}}$ {escape(note)}" for note, mark in notes.items() if note in used
    ]
    return [escape(RESCALES_MEANS), *below] if sheet.marked else below


def _cell(cell: Cell, notes: dict[str, str]) -> str:
    text = _number(cell.text)
    text = rf"\textbf{{{text}}}" if cell.best else text
    mark = rf"$^{{\mathrm{{{notes[cell.note]}}}}}$" if cell.note else ""
    if not cell.interval:
        return f"{text}{mark}"
    return rf"\shortstack[r]{{{text}{mark}\\{{\tiny {_number(cell.interval)}}}}}"


def _number(text: str) -> str:
    return escape(text) if text == MISSING else escape(text).replace("-", "$-$")
