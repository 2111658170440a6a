"""A command whose reader goes away ends as other tools do."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SWEEP = ["pipeline.sweep", "sweeps/quickstart.yaml"]


def unread(*words: str) -> tuple[int, str]:
    """Run Python into a pipe that nobody reads: exit code and what it says on standard error."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["pipeline.catalog"],
        [*SWEEP, "--dry-run"],
        [*SWEEP, "--status"],
        [*SWEEP, "--failures"],
    ],
    ids=" ".join,
)
def test_a_command_that_nobody_reads_ends_silently(command: list[str], tmp_path: Path) -> None:
    storage = ["--storage", str(tmp_path)] if command[1:] else []
    assert unread("-m", *command, *storage) == (141, "")


def test_the_first_line_is_enough_for_head(tmp_path: Path) -> None:
    words = [sys.executable, "-u", "-m", *SWEEP, "--dry-run", "--storage", str(tmp_path)]
    line = f"{shlex.join(words)} | head -n 1"
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "quickstart: 90 cells\n"
    assert not done.stderr.replace("building 15 networks once, without values …\n", "")


def test_help_that_nobody_reads_ends_silently() -> None:
    """With which code depends on whether Python buffers: argparse overlooks what it writes."""
    assert unread("-m", *SWEEP, "--help") in [(141, ""), (0, "")]


CODES = """
import sys
from pipeline.cli.process import run
run(lambda: {code})
"""


@pytest.mark.parametrize(("given", "code"), [("3", 3), ("0", 0), ("None", 0), ("sys.exit(2)", 2)])
def test_a_command_ends_with_its_code(given: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", CODES.format(code=given)], cwd=ROOT, timeout=60)
    assert done.returncode == code


def test_an_error_of_the_command_is_not_hidden() -> None:
    code, error = unread("-c", CODES.format(code="1 / 0"))
    assert code == 1
    assert "ZeroDivisionError" in error
