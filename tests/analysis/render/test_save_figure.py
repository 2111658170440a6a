"""Figures drawn by several processes are those that one draws."""

from __future__ import annotations

import os
from functools import partial

import pytest
from matplotlib.figure import Figure

from analysis.render.save_figure import draw_all

HERE = os.getpid()


def draw(title: str) -> Figure:
    drawing = Figure()
    drawing.text(0.1, 0.5, title)
    return drawing


def killed_elsewhere(title: str) -> Figure:
    if os.getpid() != HERE:
        os._exit(1)
    return draw(title)


def test_several_processes_draw_the_same_bytes_in_order() -> None:
    todo = [(partial(draw, name), name) for name in ("one", "two", "three")]
    assert list(draw_all(todo, 2)) == list(draw_all(todo, 1))


def test_a_process_that_is_killed_costs_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    todo = [(partial(draw, "one"), "one"), (partial(killed_elsewhere, "two"), "two")]
    assert list(draw_all(todo, 2)) == list(draw_all(todo, 1))
    assert "was killed; drawing the rest in one" in capsys.readouterr().err
