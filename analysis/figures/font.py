"""A small copy of DejaVu Sans for PDF files, whose fonts are cut down to the glyphs in use.

That takes fontTools 0.16 s per file for the whole font with its 6,000 glyphs, longer than all else
of a figure, and a tenth of it for the glyphs of European text and formulas.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from matplotlib import font_manager

FAMILY = "DejaVu Sans for figures"
WHOLE = "DejaVu Sans"
_BLOCKS = (
    (0x20, 0x180),
    (0x300, 0x370),
    (0x391, 0x3D7),
    (0x2010, 0x2040),
    (0x2070, 0x20A0),
    (0x2190, 0x2195),
    (0x2200, 0x2270),
)
"""Latin, accents, Greek, punctuation, raised digits, arrows, mathematics. A character beyond them
is drawn with the whole font, to which matplotlib falls back."""
_NAMES = (1, 16)
"""Records of a font's name table that name its family."""


@cache
def small_font() -> str:
    """Make the copy, once per process, and let matplotlib know it; returns its family."""
    folder = tempfile.mkdtemp(prefix="normscope-font-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for weight in ("normal", "bold"):
        wanted = font_manager.FontProperties(family=[WHOLE], weight=weight)
        whole, path = font_manager.findfont(wanted), Path(folder) / f"{weight}.ttf"
        _write_subset(whole, path)
        font_manager.fontManager.addfont(path)
    return FAMILY


def _write_subset(whole: str, path: Path) -> None:
    from fontTools import subset

    options = subset.Options(glyph_names=True, legacy_kern=True, notdef_outline=True)
    options.drop_tables += ["FFTM"]  # FontForge's timestamp
    with subset.load_font(whole, options) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=[code for block in _BLOCKS for code in range(*block)])
        subsetter.subset(font)
        for record in font["name"].names:
            if record.nameID in _NAMES:
                record.string = FAMILY.encode(record.getEncoding())
        font.save(path)
