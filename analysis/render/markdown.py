"""The report as Markdown, and its tables one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from analysis.answers import MARKS, Matrix
from analysis.answers import Cell as Verdict
from analysis.render.page import Compared, Page
from analysis.render.table_layout import RESCALES_MEANS, Cell, Sheet
from analysis.text import Claim, Label, Number, Part, numbers

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def escape(text: str) -> str:
    """Keep Markdown, and HTML in Markdown, from reading a label as anything but text."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(sheet: Sheet) -> str:
    """A pipe table; bold is best, notes below it."""
    notes = sheet.footnotes()
    rows = [[*map(escape, row.labels), *(_cell(c, notes) for c in row.cells)] for row in sheet.rows]
    lines = _pipes([*map(escape, sheet.keys), *map(escape, sheet.heads)], rows, len(sheet.keys))
    return "\n\n".join([_caption(sheet), lines, *_below(sheet, notes)]) + "\n"


def by_block(sheet: Sheet) -> str:
    """The headline columns one by one, each a pipe table with a column per block.

    A block is what the rows' labels but the last name, as an architecture. For pages with little
    width: `table` has a column per measure.
    """
    short, notes = sheet.headline, sheet.headline.footnotes()
    blocks = {name: {row.labels[-1]: row.cells for row in rows} for name, rows in short.blocks}
    labels = list(dict.fromkeys(row.labels[-1] for row in short.rows))
    parts = [_caption(sheet)]
    for i, title in enumerate(short.heads):
        rows = [
            [escape(label), *(_at(cells.get(label), i, notes) for cells in blocks.values())]
            for label in labels
        ]
        parts += [f"**{escape(title)}**", _pipes([short.keys[-1], *map(escape, blocks)], rows, 1)]
    return "\n\n".join([*parts, *_below(short, notes)]) + "\n"


def _at(cells: Sequence[Cell] | None, place: int, notes: dict[str, str]) -> str:
    return numbers.MISSING if cells is None else _cell(cells[place], notes)


def _caption(sheet: Sheet) -> str:
    return f"**{escape(sheet.title)}.** {escape(sheet.caption)}"


def _below(sheet: Sheet, notes: dict[str, str]) -> list[str]:
    """What stands below a table: the meaning of its marks and of its short labels."""
    below = [f"<sup>{mark}</sup> {escape(note)}" for note, mark in notes.items()]
    if sheet.marked:
        below.insert(0, escape(RESCALES_MEANS))
    below += [f"{escape(name)}: {escape(label)}" for name, label in sheet.key]
    return ["; ".join(below)] if below else []


def _cell(cell: Cell, notes: dict[str, str]) -> str:
    text = escape(cell.full)
    mark = f" <sup>{notes[cell.note]}</sup>" if cell.note else ""
    return f"{'**' + text + '**' if cell.best else text}{mark}"


def frame(rows: pd.DataFrame, words: int) -> str:
    """A pipe table of a plain frame, whose first ``words`` columns are text."""
    body = [[escape(str(value)) for value in row] for row in rows.itertuples(index=False)]
    return _pipes([escape(str(name)) for name in rows.columns], body, words) + "\n"


def _pipes(head: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    rule = ["---" if i < words else "---:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *rows])


def sentence(parts: Sequence[Part]) -> str:
    """Prose, its labels as text that is not markup."""
    return "".join(_part(part) for part in parts)


def _part(part: Part) -> str:
    if isinstance(part, Number):
        return escape(part.text)
    return f"**{escape(part.text)}**" if isinstance(part, Label) else part


def _claim(claim: Claim) -> str:
    evidence = f" ({sentence(claim.evidence)})" if claim.evidence else ""
    return f"- {sentence(claim.verdict)}{evidence}"


def _compared(compared: Compared) -> list[str]:
    found = compared.against
    blocks = [f"## {escape(found.title)}", *map(sentence, found.sentences)]
    blocks += ["\n".join(map(_claim, found.claims))]
    if found.settings:
        rows = [[escape(text) for text in row] for row in found.settings]
        blocks += ["What was set, or ran, differently:"]
        blocks += [_pipes(["what", "here", "there"], rows, 3)]
    return [*blocks, table(compared.sheet)]


def _matrix(matrix: Matrix) -> str:
    """The verdict matrix, a mark, its words and the effect in each cell."""
    rows = [
        [f"{row.key} {escape(row.part)}".strip(), *(_verdict(cell) for cell in row.cells)]
        for row in matrix.rows
    ]
    return _pipes(["claim", *map(escape, matrix.blocks)], rows, 1 + len(matrix.blocks))


def _verdict(cell: Verdict) -> str:
    mark, words = MARKS[cell.state]
    return " ".join(part for part in (mark, words, sentence(cell.sentence)) if part)


def page(page: Page) -> str:
    """The whole report; its figures are files beside it."""
    blocks = [f"# {escape(page.title)}", sentence(page.first.ran)]
    blocks += ["\n".join(f"- {sentence(found)}" for found in page.first.findings)]
    blocks += [_matrix(page.first.matrix)] if page.first.matrix.rows else []
    blocks += ["; ".join(f"{name}: {escape(label)}" for name, label in page.key)]
    blocks += ["## Answers", page.glance]
    for each in page.asked:
        answer = each.answer
        blocks += [f"### {answer.key}. {answer.question}"]
        blocks += [f"> {escape(each.quote.line)}"] if each.quote else []
        blocks += [f"**{sentence(answer.verdict)}**"]
        blocks += ["\n".join(map(_claim, answer.claims)), f"*Rule.* {answer.rule}"]
        if answer.table:
            blocks += [f"From the table *{escape(page.table_title(answer.table))}*."]
    blocks += ["## Data health", *map(sentence, page.health_sentences), frame(page.health, 3)]
    blocks += ["\n".join(f"- {escape(problem)}" for problem in page.problems)]
    blocks += ["## Tables", *map(table, page.sheets)]
    blocks += _compared(page.compared) if page.compared else []
    blocks += ["## Figures"]
    for shown in page.figures:
        blocks += [f"### {escape(shown.title)}", f"![{escape(shown.title)}]({shown.file})"]
        blocks += [escape(shown.caption)]
    blocks += ["## Methods and definitions", *map(sentence, page.lead)]
    for group in page.definitions:
        lines = [f"- **{escape(term)}**: {escape(text)}" for term, text in group.entries]
        blocks += [f"### {escape(group.title)}", "\n".join(lines)]
    blocks += ["## Provenance"]
    blocks += ["\n".join(f"- {escape(k)}: {escape(v)}" for k, v in page.provenance)]
    return "\n\n".join(block.rstrip("\n") for block in blocks if block) + "\n"
