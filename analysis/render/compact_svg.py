"""A figure's SVG made smaller for the page: it is drawn there at about its own size."""

from __future__ import annotations

import re

_PLACES = re.compile(r'(?<=\s)(?:d|x|y|transform)="[^"]*"')
_LONG = re.compile(r"\d+\.\d{3,}")
_FONT = re.compile(r"font-family: [^;\"]*;? ?")
_INDENT = re.compile(r"\n\s*")


def compact(svg: str) -> str:
    """Places to a hundredth of a point, no indentation, and the font left to the page's style."""
    svg = _PLACES.sub(lambda place: _LONG.sub(_hundredths, place[0]), svg)
    return _INDENT.sub(" ", _FONT.sub("", svg))


def _hundredths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}"
