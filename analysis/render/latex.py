"""Tables as LaTeX: booktabs and nothing else."""

from __future__ import annotations

from textwrap import wrap

from analysis.render.table_layout import RESCALES, RESCALES_MEANS, Cell, Row, Sheet

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


LINE = 84
"""Characters that fit a line of a one-column page at ``\\scriptsize``, columns apart by two."""
ROWS = 36
"""Rows that fit such a page with a caption above and the notes of their cells below."""


def table(sheet: Sheet) -> str:
    """``table`` environments that fit a page, as many as columns and rows need; bold is best.

    Each begins with the row's labels and ends with the notes of its own cells.
    """
    notes = sheet.footnotes()
    starts = range(0, max(1, len(sheet.rows)), ROWS)
    wanted = [(own, sheet.rows[i : i + ROWS]) for own in _parts(sheet) for i in starts]
    parts = [_part(sheet, *each, i, notes) for i, each in enumerate(wanted)]
    return "% needs \\usepackage{booktabs}\n" + "\n".join(parts)


def _parts(sheet: Sheet) -> list[list[int]]:
    """The columns of each environment, in order; at least one each."""
    widths = _widths(sheet)
    room = LINE - sum(widths[: len(sheet.keys)])
    parts: list[list[int]] = []
    used = 0
    for i, width in enumerate(widths[len(sheet.keys) :]):
        used += width
        if not parts or used > room:
            parts.append([])
            used = width
        parts[-1].append(i)
    return parts or [[]]


def _widths(sheet: Sheet) -> list[int]:
    """Characters of every column, labels first, and the two that part it from the next."""
    columns = [[key] for key in sheet.keys] + [head.split() for head in sheet.heads]
    for row in sheet.rows:
        cells = [cell.full + (" " if cell.note else "") for cell in row.cells]
        for column, text in zip(columns, [*row.labels, *cells], strict=True):
            column.append(text)
    return [2 + max(map(len, column)) for column in columns]


def _part(
    sheet: Sheet, own: list[int], shown: list[Row], number: int, notes: dict[str, str]
) -> str:
    widths = _widths(sheet)[len(sheet.keys) :]
    heads = [_stacked(sheet.heads[i], widths[i] - 2) for i in own]
    rows = [
        " & ".join([*map(escape, row.labels), *(_cell(row.cells[i], notes) for i in own)])
        for row in shown
    ]
    caption = f"{escape(sheet.title)} (continued)." if number else _caption(sheet)
    below = _below(sheet, own, shown, notes)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{sheet.name}{f'_{number + 1}' if number else ''}}}",
        r"\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{{'l' * len(sheet.keys) + 'r' * len(own)}}}",
        r"\toprule",
        " & ".join([*map(escape, sheet.keys), *heads]) + r" \\",
        r"\midrule",
        *(row + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *([r"\par\smallskip " + "; ".join(below)] if below else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _caption(sheet: Sheet) -> str:
    return f"{escape(sheet.title)}. {escape(sheet.caption)}"


def _stacked(head: str, width: int) -> str:
    """A column's head in lines no wider than the column."""
    lines = wrap(head, width, break_long_words=False, break_on_hyphens=False)
    stacked = r"\\".join(map(escape, lines))
    return rf"\shortstack[r]{{{stacked}}}" if len(lines) > 1 else stacked


def _below(sheet: Sheet, own: list[int], shown: list[Row], notes: dict[str, str]) -> list[str]:
    used = {row.cells[i].note for row in shown for i in own}
    below = [
        rf"$^{{\mathrm{{{mark}}}}}$ {escape(note)}" for note, mark in notes.items() if note in used
    ]
    return [escape(RESCALES_MEANS), *below] if sheet.marked else below


def _cell(cell: Cell, notes: dict[str, str]) -> str:
    text = escape(cell.full).replace("-", "$-$") if cell.full != "—" else escape(cell.full)
    mark = rf"$^{{\mathrm{{{notes[cell.note]}}}}}$" if cell.note else ""
    return (rf"\textbf{{{text}}}" if cell.best else text) + mark
