"""A figure's SVG made smaller for the page: it is drawn there at about its own size."""

from __future__ import annotations

import re

_PLACES = re.compile(r'(?<=\s)(?:d|x|y|transform)="[^"]*"')
_LONG = re.compile(r"-?\d+\.\d{2,}")
_FONT = re.compile(r"font-family: [^;\"]*;? ?")
_INDENT = re.compile(r"\n\s*")
_BETWEEN = re.compile(r">\s+<")
_LINES = re.compile(r'(?<=\sd=")[-\d. MLz]*(?=")')
_UNTURNED = re.compile(r' transform="rotate\(-?0 [^)]*\)"')
_UNUSED_ID = re.compile(r'(?<=<g) id="(?!figure_)[^"]*"')
_STYLED = re.compile(
    r'(<g[^>]*)>((?:<use [^>]*?) style="([^"]*)"/>(?:<use [^>]*? style="\3"/>)*)</g>'
)


def compact(svg: str) -> str:
    """The SVG with places to a tenth of a point, and without what the page has no use for.

    That is indentation, the font (the page's style names it), the ids of groups other than the
    figure's own, turns by nothing, and a style that all of a line's markers repeat.
    """
    svg = _PLACES.sub(lambda place: _LONG.sub(_tenths, place[0]), svg)
    svg = _BETWEEN.sub("><", _INDENT.sub(" ", _FONT.sub("", svg)))
    svg = _LINES.sub(lambda path: _relative(path[0]), svg)
    svg = _UNUSED_ID.sub("", _UNTURNED.sub("", svg))
    return _STYLED.sub(_style_once, svg).replace("xlink:href", "href")


def _tenths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _relative(path: str) -> str:
    """A path of straight lines, each point as its distance from the one before."""
    parts = []
    for part in path.split("M")[1:]:
        points = [round(10 * float(word)) for word in part.replace("z", "").split() if word != "L"]
        steps = [f"{(b - a) / 10:g}" for a, b in zip(points, points[2:], strict=False)]
        start = f"M{points[0] / 10:g} {points[1] / 10:g}"
        parts.append(f"{start}l{' '.join(steps)}{'z' if 'z' in part else ''}")
    return "".join(parts)


def _style_once(group: re.Match[str]) -> str:
    style = f' style="{group[3]}"'
    return f"{group[1]}{style}>{group[2].replace(style, '')}</g>"
