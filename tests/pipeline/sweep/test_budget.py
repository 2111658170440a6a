"""A budget admits what fits, and is used up at its limit and not later."""

from __future__ import annotations

import pytest

from pipeline.sweep.budget import Budget, Limits, Need


class Clock:
    """A clock that is set by hand, in hours."""

    def __init__(self) -> None:
        self.hours = 0.0

    def __call__(self) -> float:
        return 3600 * self.hours


def budget(limits: Limits, hours: float | None, cells: str, gpus: float = 1.0) -> Budget:
    seconds = None if hours is None else 3600 * hours
    return Budget(limits, {cell: Need("vgg", gpus, seconds) for cell in cells}, CLOCK)


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _at_zero() -> None:
    CLOCK.hours = 0.0


def test_a_cell_starts_only_if_it_is_expected_to_end_within_the_hours() -> None:
    run = budget(Limits(hours=2), 0.75, "abc")
    assert run.admit("a")
    CLOCK.hours = 1.0
    run.ended("a", "ok")
    assert run.admit("b")
    CLOCK.hours = 1.5
    assert not run.admit("c")
    assert run.cause() == ""  # b still runs, and fits
    run.ended("b", "ok")
    assert run.cause() == "--max-hours 2: the cells that are left would pass it"


def test_running_cells_reserve_gpu_hours_by_their_share() -> None:
    run = budget(Limits(gpu_hours=1), 1.0, "abc", gpus=0.5)
    assert [run.admit(cell) for cell in "abc"] == [True, True, False]
    CLOCK.hours = 1.5
    assert run.cause() == "--max-gpu-hours 1 used up"


def test_the_limit_is_hard_though_nothing_is_known_of_cells() -> None:
    run = budget(Limits(hours=3), None, "ab")
    assert run.admit("a")
    CLOCK.hours = 2.99
    assert run.cause() == ""
    CLOCK.hours = 3.0
    assert run.cause() == "--max-hours 3 used up"
    assert not run.admit("b")


def test_cells_of_a_kind_take_as_long_as_those_that_have_ended() -> None:
    run = budget(Limits(hours=3), None, "abc")
    assert run.admit("a")
    CLOCK.hours = 2.0
    run.ended("a", "ok")
    assert not run.admit("b")
    assert not budget(Limits(), None, "a").cause()


def test_a_stopped_cell_tells_nothing_of_how_long_others_take() -> None:
    run = budget(Limits(hours=3), None, "ab")
    assert run.admit("a")
    CLOCK.hours = 2.0
    run.ended("a", "stopped")
    assert run.admit("b")


def test_a_cell_whose_worker_was_lost_is_counted_for_both_of_its_trials() -> None:
    run = budget(Limits(gpu_hours=3), 1.0, "ab")
    assert run.admit("a")
    CLOCK.hours = 1.0
    assert run.admit("a")
    CLOCK.hours = 2.0
    run.ended("a", "ok")
    assert run.admit("b")
    CLOCK.hours = 3.0
    assert run.cause() == "--max-gpu-hours 3 used up"
