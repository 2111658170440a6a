"""Drawings become files: the same bytes every time."""

from __future__ import annotations

import io
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


_TO_DRAW: list[tuple[Callable[[], Drawing], str]] = []
"""What a process that is about to fork gives its children, for functions cannot be sent."""


def draw_all(
    todo: Sequence[tuple[Callable[[], Drawing], str]], jobs: int
) -> Iterator[dict[str, bytes]]:
    """Draw the images of many figures (their arguments of `drawn`), in order.

    Several jobs are forks of this process: a program with threads of its own must ask for one.
    """
    from analysis.figures.font import small_font

    jobs = min(jobs, len(todo))
    if jobs <= 1:
        yield from (drawn(*each) for each in todo)
        return
    small_font()  # once, for all of them
    _TO_DRAW[:] = todo
    done = 0
    try:
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
            for images in pool.map(_drawn, range(len(todo))):
                yield images
                done += 1
    except BrokenProcessPool:  # the system ended one, most likely for want of memory
        print("a process that drew figures was killed; drawing the rest in one", file=sys.stderr)
        yield from (drawn(*each) for each in todo[done:])
    finally:
        _TO_DRAW.clear()


def _drawn(place: int) -> dict[str, bytes]:
    return drawn(*_TO_DRAW[place])


FILES = {"svg": "svg", "pdf": "pdf (5.5 in)", "column.pdf": "pdf (3.25 in)"}
"""Kinds of files of a figure, and their names: of a page's width, and of a column's."""
TALLEST = 9.0
"""Inches of a page's text: a figure that would be taller in a column has no file for columns."""
_DATES = {"svg": "Date", "pdf": "CreationDate"}
_WIDTHS = {"": 5.5, "column": 3.25}
"""Widths of a text block and of a column of a conference paper, in inches."""


def drawn(draw: Callable[[], Drawing], name: str) -> dict[str, bytes]:
    """Draw a figure at both widths and save it; the drawings are dropped.

    Args:
        draw: draws it, as wide as matplotlib's setting ``figure.figsize`` says. name: makes the
        ids in its SVG its own.
    """
    import matplotlib

    from analysis.figures.font import small_font
    from analysis.figures.marks import annotated
    from analysis.figures.style import RC

    family, saved = small_font(), {}
    fonts = {"font.family": [family, *RC["font.family"]]}
    for width in _WIDTHS:
        size = (_WIDTHS[width], _WIDTHS[width])
        settings: Any = {**RC, **fonts, "svg.hashsalt": name, "figure.figsize": size}
        kinds = [kind for kind in FILES if kind.rpartition(".")[0] == width]
        with matplotlib.rc_context(settings):
            drawing = draw()
            if width and drawing.get_figheight() > TALLEST:
                continue
            for kind in kinds:
                file, extension = io.BytesIO(), kind.rpartition(".")[2]
                metadata = {_DATES[extension]: None, "Title": name}
                drawing.savefig(file, format=extension, metadata=metadata)
                # An SVG names its reader's fonts, which have no such copy.
                saved[kind] = file.getvalue().replace(f"'{family}', ".encode(), b"")
        if "svg" in kinds:
            saved["svg"] = annotated(saved["svg"].decode(), drawing).encode()
    return saved
