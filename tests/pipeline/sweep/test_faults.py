"""Real faults, each a few times: killed drivers, bad cells, full disks."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers.faults import broken, kills
from tests.helpers.faults.faulty_sweep import Row

pytestmark = pytest.mark.slow


def can_mount(folder: Path) -> bool:
    """Whether this machine lets us make a small disk."""
    if os.geteuid() != 0:
        return False
    place = folder / "probe"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True)
    return made.returncode == 0 and subprocess.run(["umount", place]).returncode == 0


def nothing_lost(row: Row, repeated: int) -> None:
    assert row.lost == 0
    assert row.repeated <= repeated


def test_a_killed_driver_loses_nothing_and_repeats_what_was_running(tmp_path: Path) -> None:
    """Two slots: a kill repeats two cells at most."""
    nothing_lost(kills.driver_killed(tmp_path, 2), repeated=4)


def test_a_driver_told_to_stop_twice_stops_at_once_and_loses_nothing(tmp_path: Path) -> None:
    row = kills.stopped(tmp_path, [signal.SIGTERM, signal.SIGINT])
    nothing_lost(row, repeated=2)
    assert row.outcome == "exit code 130"


def test_a_second_driver_is_refused_and_the_first_one_ends(tmp_path: Path) -> None:
    row = kills.two_drivers(tmp_path)
    nothing_lost(row, repeated=0)
    assert "exit code 2, “faults: is being run …”" in row.outcome


def test_bad_cells_leave_the_others_alone_and_are_not_repeated_in_vain(tmp_path: Path) -> None:
    """A killed one has a second chance, now and at the next run; what raises or hangs has none."""
    first, again = broken.bad(tmp_path, ["raising", "hanging", "killed"], 1)
    assert (first.tried, first.cells, first.lost, first.repeated) == (3, 4, 0, 1)
    assert "1 failed: RuntimeError: raised on purpose" in first.outcome
    assert "1 failed: TimeoutError: timed out: not back after 18 s" in first.outcome
    assert "1 lost: its worker was lost twice" in first.outcome
    assert (again.lost, again.repeated) == (0, 2)
    assert (first.outcome[:11], again.outcome[:11]) == ("exit code 1", "exit code 1")


def test_a_cell_that_takes_all_memory_is_ended_and_said_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    """The machine counts as full two GiB from where it is; ten, should others give memory back."""
    first, again = broken.hungry(tmp_path, 1)
    assert (first.lost, first.repeated) == (0, 0)
    assert "exit code 1; 1 failed: out of memory: it had taken " in first.outcome
    assert (again.lost, again.repeated) == (0, 0)


def test_a_full_disk_keeps_what_was_written_before(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("needs root and mount, for a disk small enough to fill")
    full = broken.disk_full(tmp_path / "full")
    assert full.lost == 0
    assert full.outcome.startswith("exit code 1")
