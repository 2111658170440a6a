"""Shards divide a sweep, and their drivers keep out of each other's way."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from pipeline.spec.read import Cell
from pipeline.store.store import Store
from pipeline.sweep.lease import Lease
from pipeline.sweep.shard import Shard, exclude_each_other, lease_key, parse_shard

CELLS = [Cell({}, {}, f"{number * 7919 % 1000:016d}") for number in range(11)]


@pytest.mark.parametrize("count", [1, 2, 3, 11, 20])
def test_every_cell_is_in_exactly_one_shard(count: int) -> None:
    shards = [Shard(index, count).cells_of(CELLS) for index in range(1, count + 1)]
    assert sorted(c.cell_id for shard in shards for c in shard) == sorted(c.cell_id for c in CELLS)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    for shard in shards:
        assert shard == [cell for cell in CELLS if cell in shard]


def test_a_shard_does_not_depend_on_the_order_of_cells() -> None:
    backwards = Shard(2, 3).cells_of(CELLS[::-1])
    assert backwards[::-1] == Shard(2, 3).cells_of(CELLS)


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/2/3", "1.5/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write I/N"):
        parse_shard(text)
    assert parse_shard("3/8") == Shard(3, 8)


def test_drivers_exclude_each_other_unless_they_are_shards_of_one_division() -> None:
    shards = [None, Shard(1, 2), Shard(2, 2), Shard(1, 3)]
    free = {
        (one, other)
        for one, other in combinations(shards, 2)
        if not exclude_each_other(lease_key("s", one), lease_key("s", other))
    }
    assert free == {(Shard(1, 2), Shard(2, 2))}
    assert exclude_each_other("s/1-of-2", "s/1-of-2")


@pytest.mark.parametrize(
    ("first", "second"),
    [(Shard(1, 2), None), (None, Shard(1, 2)), (Shard(1, 2), Shard(1, 3)), (Shard(1, 2),) * 2],
)
def test_a_driver_is_refused_while_another_could_run_its_cells(
    tmp_path: Path, first: Shard | None, second: Shard | None
) -> None:
    store = Store(str(tmp_path))
    with Lease(store, "s", first).acquire():
        with (
            pytest.raises(ValueError, match="is being run by"),
            Lease(store, "s", second).acquire(),
        ):
            pass
        with Lease(store, "another", second).acquire():
            pass
    with Lease(store, "s", second).acquire():
        pass


def test_shards_of_one_division_run_side_by_side(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with Lease(store, "s", Shard(1, 2)).acquire(), Lease(store, "s", Shard(2, 2)).acquire():
        assert store.lease_keys("s") == ["s/1-of-2", "s/2-of-2"]
    assert store.lease_keys("s") == []
