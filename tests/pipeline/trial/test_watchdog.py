"""Each in a process of its own, which is what ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(body: str) -> tuple[subprocess.CompletedProcess[str], float]:
    code = f"from pipeline.trial import watchdog\nimport time, ctypes\n{body}"
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return done, time.monotonic() - start


def test_a_process_that_hangs_reports_its_stack_and_ends() -> None:
    done, seconds = run("with watchdog.kill_after(0.2, print): time.sleep(50)")
    assert done.returncode == 1
    assert seconds < 40


def test_the_report_names_what_hangs() -> None:
    body = (
        "def hanging():\n    time.sleep(50)\n"
        "report = lambda stack: print('in hanging' in stack, flush=True)\n"
        "with watchdog.kill_after(0.2, report):\n    hanging()"
    )
    done, _ = run(body)
    assert done.stdout == "True\n"


def test_native_code_that_lets_no_thread_run_is_ended_too() -> None:
    body = (
        "watchdog._LAST_RESORT = 0.3\n"
        "with watchdog.kill_after(0.2, print): ctypes.PyDLL(None).sleep(50)"
    )
    done, seconds = run(body)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert seconds < 40


def test_what_comes_back_in_time_goes_on() -> None:
    done, _ = run("with watchdog.kill_after(0.2, print): pass\ntime.sleep(0.4); print('on')")
    assert (done.returncode, done.stdout) == (0, "on\n")
