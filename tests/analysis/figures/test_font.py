"""The small font of PDF files: the same shapes as the whole one, and no character is lost."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from analysis.figures.font import FAMILY, WHOLE, small_font
from analysis.render.save_figure import drawn

TEXT = "Loss (nats) · ηλ_max ≤ 2, ‖G − G′‖₂ → ∇ĝ µé"


def fonts(weight: str) -> tuple[FT2Font, FT2Font]:
    """The whole font and its small copy."""
    found = []
    for family in (WHOLE, small_font()):
        wanted = font_manager.FontProperties(family=[family], weight=weight)
        found.append(FT2Font(font_manager.findfont(wanted, fallback_to_default=False)))
    return found[0], found[1]


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_every_glyph_has_the_same_shape_and_width(weight: str) -> None:
    whole, small = fonts(weight)
    assert len(small.get_charmap()) < len(whole.get_charmap()) / 3
    assert set(map(ord, TEXT)) <= set(small.get_charmap())
    for code in small.get_charmap():
        glyphs = [font.load_char(code) for font in (whole, small)]
        assert glyphs[0].linearHoriAdvance == glyphs[1].linearHoriAdvance, chr(code)
        (points, codes), (own_points, own_codes) = whole.get_path(), small.get_path()
        np.testing.assert_array_equal(points, own_points, chr(code))
        np.testing.assert_array_equal(codes, own_codes, chr(code))


def test_a_pair_of_letters_is_kerned_as_in_the_whole_font() -> None:
    whole, small = fonts("normal")
    widths = []
    for font in (whole, small):
        font.set_text("AVATAR To")
        widths.append(font.get_width_height())
    assert widths[0] == widths[1]


def test_a_character_beyond_it_is_drawn_with_the_whole_font() -> None:
    """A Cyrillic label gives neither boxes nor a warning."""

    def draw() -> Figure:
        drawing = Figure()
        drawing.text(0.1, 0.5, "абв abc")
        return drawing

    with matplotlib.rc_context({"pdf.compression": 0}):
        files = drawn(draw, "mixed")
    assert files["pdf"].count(b"/FontFile2 ") == 2
    assert FAMILY.encode() not in files["svg"]
    assert b"font-family: 'DejaVu Sans', " in files["svg"]
