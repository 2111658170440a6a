"""Signals: the first one is an interrupt, the second one the end, whoever else has handlers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.cli.signals import graceful_shutdown, install_signal_handlers

ROOT = Path(__file__).parents[2]
BOTH = (signal.SIGINT, signal.SIGTERM)


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(1)  # the handler runs before this is over


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_interrupts_and_the_handlers_are_put_back(number: int) -> None:
    before = [signal.getsignal(each) for each in BOTH]
    with pytest.raises(KeyboardInterrupt), graceful_shutdown():
        send(number)
    assert [signal.getsignal(each) for each in BOTH] == before


def test_a_handler_that_another_has_set_meanwhile_is_replaced() -> None:
    def replaced() -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        install_signal_handlers()
        send(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), graceful_shutdown():
        replaced()


def test_what_ray_makes_of_a_signal_while_it_starts_is_an_interrupt_without_an_alarm() -> None:
    def ended() -> None:
        signal.alarm(1000)
        sys.exit(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), graceful_shutdown():
        ended()
    assert signal.alarm(0) == 0


def test_another_end_of_the_process_is_left_alone() -> None:
    with pytest.raises(SystemExit) as end, graceful_shutdown():
        sys.exit(3)
    assert end.value.code == 3


SLOW_END = """
import os, signal, time
from pipeline.cli.signals import graceful_shutdown
with graceful_shutdown():
    try:
        os.kill(os.getpid(), signal.{first})
        time.sleep(50)
    finally:
        os.kill(os.getpid(), signal.{second})
        time.sleep(50)
        print("in good order")
"""


@pytest.mark.parametrize(
    ("first", "second"), [("SIGINT", "SIGINT"), ("SIGTERM", "SIGINT"), ("SIGINT", "SIGTERM")]
)
def test_a_second_signal_ends_the_process_at_once(first: str, second: str) -> None:
    code = SLOW_END.format(first=first, second=second)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=40
    )
    notice = "\nstopping …; Ctrl-C again to stop now\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", notice)
