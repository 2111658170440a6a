"""Drawings become files: the same bytes every time."""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


_TO_DRAW: list[tuple[Callable[[], Drawing], str]] = []
"""What a process that is about to fork gives its children, for functions cannot be sent."""


def drawn_by_two(todo: Sequence[tuple[Callable[[], Drawing], str]]) -> Iterator[dict[str, bytes]]:
    """The images of many figures (their arguments of `drawn`), in order, drawn by two processes.

    By copies of this one, so it is for commands: a program with threads of its own must not fork.
    """
    _TO_DRAW[:] = todo
    try:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            yield from pool.map(_drawn, range(len(todo)))
    finally:
        _TO_DRAW.clear()


def _drawn(place: int) -> dict[str, bytes]:
    return drawn(*_TO_DRAW[place])


def drawn(draw: Callable[[], Drawing], name: str) -> dict[str, bytes]:
    """Draw a figure and save it as SVG and PDF; the drawing is dropped.

    Args:
        draw: draws it. name: makes the ids in its SVG its own.
    """
    import matplotlib

    from analysis.figures.style import RC

    settings: Any = {**RC, "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        drawing = draw()
        svg, pdf = io.BytesIO(), io.BytesIO()
        drawing.savefig(svg, format="svg", metadata={"Date": None, "Title": name})
        drawing.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Title": name})
    return {"svg": svg.getvalue(), "pdf": pdf.getvalue()}
