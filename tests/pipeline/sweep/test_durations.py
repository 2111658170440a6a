from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from pipeline.spec.read import Cell
from pipeline.store.filesystem import SCHEMA
from pipeline.store.store import Store
from pipeline.sweep.forecast.durations import estimate, longest_first


def cells(architecture: str, count: int) -> list[Cell]:
    labels = {"architecture": architecture}
    settings = {"training": {"steps": 10}, "seed": 0}
    return [Cell(settings, labels, f"{architecture}-{index}") for index in range(count)]


VGG, RESNET, DENSENET = (cells(name, 30) for name in ("vgg", "resnet", "densenet"))
PLANNED = [*VGG, *RESNET, *DENSENET]


class Finished(Store):
    """A store of cells of 10 steps (or as many as given) that took the given times."""

    def __init__(
        self, seconds: Mapping[str, float], steps: Mapping[str, int] | None = None
    ) -> None:
        super().__init__("memory://estimate")
        self.seconds, self.steps = seconds, steps or {}
        self.read = 0

    def result(self, cell_id: str) -> dict[str, object]:
        self.read += 1
        cost = {"seconds": self.seconds[cell_id], "peak_memory_bytes": None}
        return {"schema": SCHEMA, "cost": cost, "summary": {"steps": self.steps.get(cell_id, 10)}}


def total(missing: Iterable[Cell], seconds: Mapping[str, float]) -> float | None:
    return estimate(PLANNED, Finished(seconds), set(seconds)).total(missing)


def test_nothing_is_known_at_first() -> None:
    assert total(PLANNED, {}) is None


def test_cells_of_another_sweep_do_not_count() -> None:
    store = Finished({})
    assert estimate(PLANNED, store, {"elsewhere"}).total(VGG) is None
    assert store.read == 0


def test_each_architecture_has_its_mean_and_others_the_mean_of_all() -> None:
    seconds = {"vgg-0": 2.0, "vgg-1": 4.0, "resnet-0": 12.0}
    assert total(VGG[2:4], seconds) == pytest.approx(6.0)
    assert total(RESNET[1:2], seconds) == pytest.approx(12.0)
    assert total(DENSENET[:1], seconds) == pytest.approx(6.0)
    assert total([VGG[5], RESNET[5], DENSENET[5]], seconds) == pytest.approx(21.0)


def test_a_cell_that_diverged_early_makes_the_others_no_shorter() -> None:
    """2 s for one step and 20 s for ten: 22 s for eleven."""
    store = Finished({"vgg-0": 2.0, "vgg-1": 20.0}, {"vgg-0": 1})
    assert estimate(VGG, store, set(store.seconds)).total(VGG[2:3]) == pytest.approx(20.0)


def test_time_grows_with_the_steps() -> None:
    longer = Cell({"training": {"steps": 30}, "seed": 0}, VGG[0].labels, "longer")
    assert total([longer], {"vgg-0": 2.0}) == pytest.approx(6.0)


def test_no_cell_is_missing() -> None:
    assert total([], {"vgg-0": 2.0}) == 0


def test_a_large_store_is_sampled() -> None:
    store = Finished({cell.cell_id: 1.0 for cell in [*VGG, *RESNET]})
    found = estimate(PLANNED, store, set(store.seconds))
    assert found.total(DENSENET) == pytest.approx(30)
    assert store.read == 40


def test_the_longest_cells_come_first_seed_by_seed() -> None:
    def of(seed: int) -> list[Cell]:
        settings = {"training": {"steps": 10}, "seed": seed}
        return [Cell(settings, c.labels, f"{c.cell_id}-{seed}") for c in (VGG[1], RESNET[1])]

    known = estimate(PLANNED, Finished({"vgg-0": 1.0, "resnet-0": 9.0}), {"vgg-0", "resnet-0"})
    ids = [cell.cell_id for cell in longest_first([*of(0), *of(1)], known)]
    assert ids == ["resnet-1-0", "vgg-1-0", "resnet-1-1", "vgg-1-1"]
    nothing = estimate(PLANNED, Finished({}), set())
    assert longest_first([*of(0), *of(1)], nothing) == [*of(0), *of(1)]


def test_where_nothing_is_known_more_steps_are_taken_for_longer() -> None:
    short, other, long = (
        Cell({"training": {"steps": steps}, "seed": 0}, VGG[0].labels, name)
        for steps, name in ((10, "short"), (10, "other"), (30, "long"))
    )
    nothing = estimate(PLANNED, Finished({}), set())
    assert longest_first([short, other, long], nothing) == [long, short, other]


def test_a_damaged_result_is_passed_over(tmp_path: Path) -> None:
    """It concerns the report, and --status, which name it; no cell to run."""
    store = Store(str(tmp_path))
    store.write_file("cells/vgg-0/result.json", b"{")
    assert estimate(PLANNED, store, {"vgg-0"}).overall is None
