"""Tables as LaTeX: booktabs and nothing else."""

from __future__ import annotations

from analysis.render.sheet import RESCALES, RESCALES_MEANS, Cell, Sheet

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


def table(sheet: Sheet) -> str:
    """A ``table`` environment; bold is best, notes below the rules."""
    notes = sheet.footnotes()
    columns = "l" * len(sheet.keys) + "r" * len(sheet.heads)
    head = " & ".join(escape(name) for name in [*sheet.keys, *sheet.heads])
    rows = [
        " & ".join([*map(escape, row.labels), *(_cell(cell, notes) for cell in row.cells)])
        for row in sheet.rows
    ]
    below = [rf"$^{{\mathrm{{{mark}}}}}$ {escape(note)}" for note, mark in notes.items()]
    if sheet.marked:
        below.insert(0, escape(RESCALES_MEANS))
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(sheet.title)}. {escape(sheet.caption)}}}",
        rf"\label{{tab:{sheet.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head + r" \\",
        r"\midrule",
        *(row + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *([r"\par\smallskip\footnotesize " + "; ".join(below)] if below else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _cell(cell: Cell, notes: dict[str, str]) -> str:
    text = escape(cell.full).replace("-", "$-$") if cell.full != "—" else escape(cell.full)
    mark = rf"$^{{\mathrm{{{notes[cell.note]}}}}}$" if cell.note else ""
    return (rf"\textbf{{{text}}}" if cell.best else text) + mark
