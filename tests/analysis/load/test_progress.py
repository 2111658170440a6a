"""What a long report says on its way."""

from __future__ import annotations

import itertools

import pytest

from analysis.load.progress import with_progress


def test_a_long_task_says_how_far_it_is_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = itertools.count(0, 6)  # a look at the clock is six seconds after the one before
    monkeypatch.setattr("analysis.load.progress.time.monotonic", lambda: next(clock))
    assert list(with_progress("reading", "abcdef", 6)) == list("abcdef")
    assert capsys.readouterr().err == "reading: 33%, 24s left\nreading: 67%, 12s left\n"


def test_a_short_one_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_progress("drawing", range(3), 3)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
