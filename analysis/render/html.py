"""The report as one HTML page: figures inline, tables that sort and filter, no network."""

from __future__ import annotations

import math
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from analysis.answers import MARKS, Cell
from analysis.render.compact_svg import compact
from analysis.render.first_screen import anchor
from analysis.render.page import Page
from analysis.render.table_layout import RESCALES_MEANS
from analysis.text import Label, Number, Sentence

_HERE = Path(__file__).parent
_SCRIPTS = ("page.js", "figures.js")
_JOINT = re.compile(r"([(_/+])(?=\w)")


def page(page: Page) -> str:
    """Fill the template; every label in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {f.__name__: f for f in (prose, inline, order, breakable, anchored)}
    return environment.get_template("page.html.j2").render(
        page=page,
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup("\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)),
        rescales=RESCALES_MEANS,
        marks=MARKS,
    )


def prose(sentence: Sentence) -> Markup:
    """A sentence; each number carries its key."""
    return Markup("").join(map(_part, sentence))


def _part(part: str | Label | Number) -> Markup:
    if isinstance(part, Label):
        return Markup("<b>{}</b>").format(part.text)
    if isinstance(part, Number):
        html = Markup('<data value="{}" title="{}">{}</data>')
        return html.format(repr(part.value), part.key, part.text)
    return escape(part)


def breakable(label: object) -> Markup:
    """A name that a narrow column breaks between its parts rather than within a word."""
    return Markup(_JOINT.sub(r"\1<wbr>", str(escape(label))))


def order(value: float) -> str:
    """What a column is sorted by: ``Infinity`` for “diverged”, empty where there is no number."""
    if value == math.inf:
        return "Infinity"
    return repr(float(value)) if math.isfinite(value) else ""


def anchored(cell: Cell, key: str) -> str:
    """The id of the evidence that a cell of the verdict matrix rests on."""
    return anchor(key, cell.block)


def inline(svg: str, name: str, title: str) -> Markup:
    """An SVG file as part of the page: a name for screen readers.

    The ids that are left in it are its own: they are digests that its name is part of.
    """
    body = compact(svg[svg.index("<svg") :])
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    body = body.replace('id="figure_1"', f'id="{name}-figure_1"', 1)
    body = body.replace("*{stroke-linejoin", f"#{name}-figure_1 *{{stroke-linejoin", 1)
    label = Markup('<svg role="img" aria-label="{}"').format(title)
    return Markup(body.replace("<svg", str(label), 1))  # made by this program, text in it escaped
