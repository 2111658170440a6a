"""Standard streams that can print every character: in another spelling where theirs has none."""

from __future__ import annotations

import codecs
import sys
from io import TextIOWrapper

_SPELLED = {
    "…": "...",
    "·": "-",
    "−": "-",
    "–": "-",
    "×": "x",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "γ": "gamma",
    "β": "beta",
    "η": "eta",
    "θ": "theta",
    "λ": "lambda",
    "μ": "mu",
    "σ": "sigma",
    "ε": "eps",
    "√": "sqrt",
    "‖": "||",
    "²": "^2",
}
"""Characters of our own texts in ASCII; any other one is escaped."""


def make_printable() -> None:
    """Keep both standard streams from failing on a terminal that is not UTF-8.

    Latin-1 and ASCII are common: old terminals, ``LC_ALL=C``, ``PYTHONIOENCODING``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not a test's, or a notebook's
            stream.reconfigure(errors="printable")


def printable(text: str, encoding: str) -> str:
    """Respell what an encoding has no character for."""
    return text.encode(encoding, "printable").decode(encoding)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    spelled = (_SPELLED.get(c) or c.encode("ascii", "backslashreplace").decode() for c in wrong)
    return "".join(spelled), error.end


codecs.register_error("printable", _spell)
