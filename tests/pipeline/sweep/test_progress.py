"""The live view under a clock of our own."""

from __future__ import annotations

import io
import signal
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from pipeline.cli import signals
from pipeline.cli.duration import duration
from pipeline.cli.signals import STOPPING, graceful_shutdown
from pipeline.spec.read import Cell
from pipeline.sweep import progress
from pipeline.sweep.forecast.durations import Estimate
from pipeline.sweep.progress import Progress, title


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def cells(architecture: str, count: int) -> list[Cell]:
    labels = {"architecture": architecture, "normalizer": "group(groups=8)", "lr": 0.1, "seed": 3}
    return [Cell({}, labels, f"{architecture}{index:03d}") for index in range(count)]


def plain(console_width: int = 80) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=console_width), file


def view(cells: list[Cell], slots: int = 1, before: int = 0) -> Progress:
    return Progress(cells, before, slots, plain()[0])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (185, "3m05s"),
        (3599.7, "1h00m"),
        (7800, "2h10m"),
        (86399.9, "1d00h"),
        (3 * 86400 + 4 * 3600 + 59 * 60, "3d04h"),
        (400 * 86400, "400d00h"),
    ],
)
def test_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_title() -> None:
    assert title(cells("vgg11", 1)[0].labels) == "group(groups=8) · vgg11 · lr 0.1 · seed 3"


def ended(shown: Progress, clock: Clock, cell: Cell, seconds: float, status: str = "ok") -> None:
    shown.started(cell.cell_id)
    clock.now += seconds
    shown.ended(cell.cell_id, status)


def test_time_left_by_architecture(clock: Clock) -> None:
    vgg, resnet, densenet = (cells(name, 10) for name in ("vgg", "resnet", "densenet"))
    shown = view([*vgg, *resnet, *densenet])
    assert shown.eta() is None
    ended(shown, clock, vgg[0], 10)
    assert shown.eta() == 29 * 10
    ended(shown, clock, vgg[1], 20, "diverged")
    ended(shown, clock, resnet[0], 30, "failed")
    assert shown.eta() == 8 * 15 + 9 * 30 + 10 * 20


def test_time_left_on_several_slots(clock: Clock) -> None:
    vgg = cells("vgg", 5)
    shown = view(vgg, slots=4)
    ended(shown, clock, vgg[0], 10)
    assert shown.eta() == 4 * 10 / 4
    for cell in vgg[1:4]:
        ended(shown, clock, cell, 10)
    assert shown.eta() == 10
    ended(shown, clock, vgg[4], 10)
    assert shown.eta() == 0


def test_a_full_cluster_is_named(clock: Clock) -> None:
    (only, other) = cells("vgg", 2)
    shown = view([only, other])
    assert shown.line().endswith("0 running · 0s · estimating")
    clock.now += 25
    assert shown.line().endswith("25s · waiting for free CPUs or GPUs, which other work holds")
    shown.started(only.cell_id)
    clock.now += 100
    shown.ended(only.cell_id, "ok")
    assert "waiting" not in shown.line()
    clock.now += 25
    assert shown.line().endswith("waiting for free CPUs or GPUs, which other work holds")
    ended(shown, clock, other, 30)
    clock.now += 25
    assert "waiting" not in shown.line()


def test_without_a_terminal_a_line_a_minute_tells_of_a_full_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, seconds in (("_PLAIN_EVERY", 0.02), ("_IDLE_AFTER", 0.05), ("_IDLE_EVERY", 0.05)):
        monkeypatch.setattr(progress, name, seconds)
    text = io.StringIO()
    with Progress(cells("vgg", 1), 0, 1, console=Console(file=text)):
        deadline = time.monotonic() + 20
        while text.getvalue().count("waiting for free") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_what_running_cells_have_done_is_taken_off(clock: Clock) -> None:
    vgg = cells("vgg", 4)
    shown = view(vgg, slots=2)
    ended(shown, clock, vgg[0], 10)
    shown.started(vgg[1].cell_id)
    shown.started(vgg[2].cell_id)
    clock.now += 4
    assert shown.eta() == (30 - 8) / 2


def test_a_cell_that_takes_longer_does_not_shorten_the_others(clock: Clock) -> None:
    vgg = cells("vgg", 6)
    shown = view(vgg, slots=1)
    ended(shown, clock, vgg[0], 10)
    shown.started(vgg[1].cell_id)
    clock.now += 100
    assert shown.eta() == 40


def test_an_architecture_that_never_ended_is_no_shorter_than_it_has_run(clock: Clock) -> None:
    """The others took 10 s; its only cell runs since 100 s, so 100 s more are to be expected."""
    vgg, resnet = cells("vgg", 2), cells("resnet", 1)
    shown = view([*vgg, *resnet], slots=1)
    ended(shown, clock, vgg[0], 10.0)
    shown.started(resnet[0].cell_id)
    clock.now += 100.0
    assert shown.eta() == pytest.approx(10 + 200 - 100)
    assert "at least 1m50s left" in shown.line()


def test_what_earlier_runs_took_is_known_beforehand(clock: Clock) -> None:
    known = Estimate({"vgg": 3.0}, 3.0, False)
    vgg = [replace(cell, settings={"training": {"steps": 20}}) for cell in cells("vgg", 2)]
    shown = Progress(vgg, 0, 1, plain()[0], expected=known)
    assert shown.eta() == pytest.approx(120)
    assert "about 2m00s left" in shown.line()


def test_the_plain_line(clock: Clock) -> None:
    vgg = cells("vgg", 6)
    shown = view(vgg, before=4)
    assert shown.line() == (
        "[4/10] · 0 ok · 0 diverged · 0 failed · 4 from before · 0 running · 0s · estimating"
    )
    ended(shown, clock, vgg[0], 60)
    ended(shown, clock, vgg[1], 60, "diverged")
    ended(shown, clock, vgg[2], 60, "failed")
    ended(shown, clock, vgg[3], 60, "lost")
    shown.started(vgg[4].cell_id)
    assert shown.line() == (
        "[8/10] · 1 ok · 1 diverged · 1 failed · 1 lost · 4 from before · 1 running · 4m00s · "
        "about 2m00s left"
    )


def test_the_last_line_says_how_long_it_took(clock: Clock) -> None:
    vgg = cells("vgg", 1)
    shown = view(vgg)
    ended(shown, clock, vgg[0], 61)
    assert shown.line() == "[1/1] · 1 ok · 0 diverged · 0 failed · 0 running · 1m01s"


def test_without_a_terminal_a_line_every_ten_seconds_and_one_at_the_end(clock: Clock) -> None:
    console, file = plain(console_width=20)
    vgg = cells("vgg", 100)
    with Progress(vgg, 0, 1, console) as shown:
        for cell in vgg:
            ended(shown, clock, cell, 1)
    lines = file.getvalue().splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        *(f"[{n}/100]" for n in range(11, 100, 11)),
        "[100/100]",
    ]
    assert lines[-1].endswith("· 1m40s")


def test_an_error_leaves_the_view(clock: Clock) -> None:
    console, file = plain()
    with pytest.raises(KeyboardInterrupt), Progress(cells("vgg", 2), 0, 1, console):
        raise KeyboardInterrupt
    assert file.getvalue().startswith("[0/2]")


@pytest.mark.parametrize("running", [0, 1, 12, 13, 100])
def test_the_panel(running: int, clock: Clock) -> None:
    vgg = cells("vgg", 200)
    console = Console(record=True, width=100, height=40, force_terminal=True, file=io.StringIO())
    shown = Progress(vgg, 0, 100, console)
    for cell in vgg[:running]:
        shown.started(cell.cell_id)
    clock.now += 65
    console.print(shown._panel())
    text = console.export_text()
    assert f"{running} running" in text
    assert text.count("group(groups=8) · vgg · lr 0.1 · seed 3") == min(running, 12)
    assert text.count("1m05s") == min(running, 12) + 1
    assert ("and 88 more" in text) == (running == 100)
    assert ("more" in text) == (running > 12)


def test_on_a_terminal_the_panel_is_live() -> None:
    file = io.StringIO()
    console = Console(width=100, height=40, force_terminal=True, file=file)
    vgg = cells("vgg", 2)
    with Progress(vgg, 0, 1, console) as shown:
        shown.started(vgg[0].cell_id)
        shown.ended(vgg[0].cell_id, "ok")
    assert "[1/2] · 1 ok" in file.getvalue()


def test_the_view_is_drawn_while_cells_start_and_end() -> None:
    """The panel is drawn by a thread of its own."""
    many = [cell for number in range(500) for cell in cells(f"vgg{number}-", 1)]
    shown = view(many)
    stopped = threading.Event()
    raised: list[BaseException] = []

    def draw() -> None:
        try:
            while not stopped.is_set():
                shown._panel()
        except BaseException as error:
            raised.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for cell in many:
            shown.started(cell.cell_id)
        for cell in many:
            shown.ended(cell.cell_id, "ok")
    finally:
        stopped.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert raised == []


def test_the_panel_answers_ctrl_c_itself(clock: Clock) -> None:
    """What is written past it, it would draw over."""
    file = io.StringIO()
    shown = Progress(cells("vgg11", 2), 0, 1, Console(file=file, width=80, force_terminal=True))
    with shown:
        shown.started("vgg11000")
        with pytest.raises(KeyboardInterrupt), graceful_shutdown():
            signal.raise_signal(signal.SIGINT)
    assert STOPPING in file.getvalue()
    assert signals._show_notice is signals.write_notice
