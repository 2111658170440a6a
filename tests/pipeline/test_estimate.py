from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from pipeline.estimate import estimated_seconds
from pipeline.spec import SCHEMA, Cell
from pipeline.store import Store, StoreError


def cells(architecture: str, count: int) -> list[Cell]:
    labels = {"architecture": architecture}
    return [Cell({}, labels, f"{architecture}-{index}") for index in range(count)]


VGG, RESNET, DENSENET = (cells(name, 30) for name in ("vgg", "resnet", "densenet"))
PLANNED = [*VGG, *RESNET, *DENSENET]


class Finished(Store):
    """A store of the given times."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        super().__init__("memory://estimate")
        self.seconds = seconds
        self.read = 0

    def result(self, cell_id: str) -> dict[str, object]:
        self.read += 1
        return {"schema": SCHEMA, "cost": {"seconds": self.seconds[cell_id]}}


def estimate(missing: Iterable[Cell], seconds: Mapping[str, float]) -> float | None:
    return estimated_seconds(list(missing), PLANNED, Finished(seconds), set(seconds))


def test_nothing_is_known_at_first() -> None:
    assert estimate(PLANNED, {}) is None


def test_cells_of_another_sweep_do_not_count() -> None:
    store = Finished({})
    assert estimated_seconds(VGG, PLANNED, store, {"elsewhere"}) is None
    assert store.read == 0


def test_each_architecture_has_its_mean_and_others_the_mean_of_all() -> None:
    seconds = {"vgg-0": 2.0, "vgg-1": 4.0, "resnet-0": 12.0}
    assert estimate(VGG[2:4], seconds) == 6.0
    assert estimate(RESNET[1:2], seconds) == 12.0
    assert estimate(DENSENET[:1], seconds) == 6.0
    assert estimate([VGG[5], RESNET[5], DENSENET[5]], seconds) == 21.0


def test_no_cell_is_missing() -> None:
    assert estimate([], {"vgg-0": 2.0}) == 0


def test_a_large_store_is_sampled() -> None:
    store = Finished({cell.cell_id: 1.0 for cell in [*VGG, *RESNET]})
    assert estimated_seconds(DENSENET, PLANNED, store, set(store.seconds)) == 30
    assert store.read == 40


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_file("cells/vgg-0/result.json", b"{")
    with pytest.raises(StoreError, match="vgg-0/result"):
        estimated_seconds(VGG[1:], PLANNED, store, {"vgg-0"})
