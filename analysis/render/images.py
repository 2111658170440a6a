"""Drawings become files: the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


def drawn(draw: Callable[[], Drawing], name: str) -> dict[str, bytes]:
    """Draw a figure and save it as SVG and PDF; the drawing is dropped.

    Args:
        draw: draws it. name: makes the ids in its SVG its own.
    """
    import matplotlib

    from analysis.style import RC

    settings: Any = {**RC, "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        drawing = draw()
        svg, pdf = io.BytesIO(), io.BytesIO()
        drawing.savefig(svg, format="svg", metadata={"Date": None, "Title": name})
        drawing.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Title": name})
    return {"svg": svg.getvalue(), "pdf": pdf.getvalue()}
