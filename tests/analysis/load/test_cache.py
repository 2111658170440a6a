"""Reductions that are kept: the same report from them, or a new reading."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from analysis.load import batches as stream
from analysis.load import cache_file
from analysis.load.sources import load
from analysis.reductions import summaries
from analysis.report.command import main
from analysis.study.study import Study
from pipeline.store.store import Store
from tests.helpers.stores.synthetic import FIRST, write_store

SMALL = {"architectures": ["vgg11"], "lrs": [0.1], "seeds": [0, 1], "steps": 20}
ALL = [*FIRST, "sharpness", "descent_lemma", "scale_invariant", "distribution_ics"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file of a store is read."""
    counts: Counter[str] = Counter()
    read = Store._read

    def counted(store: Store, path: str) -> bytes:
        counts[path] += 1
        return read(store, path)

    monkeypatch.setattr(Store, "_read", counted)
    return counts


def streamed(store: Path, cache: Path | None = None) -> Study:
    return load(str(store), records=False, cache=cache)


def assert_same(one: Study, two: Study) -> None:
    assert set(one.reduced) == set(two.reduced)
    for name, frame in one.reduced.items():
        pd.testing.assert_frame_equal(frame, two.reduced[name], check_categorical=False)
    pd.testing.assert_frame_equal(one.runs, two.runs)


def parquet(counts: Counter[str]) -> Counter[str]:
    return Counter({path: n for path, n in counts.items() if path.endswith(".parquet")})


def test_every_record_file_is_read_once_and_none_again(
    tmp_path: Path, opened: Counter[str]
) -> None:
    write_store(tmp_path / "store", **SMALL)
    opened.clear()
    cold = streamed(tmp_path / "store", tmp_path / "cache")
    assert set(opened.values()) == {1}
    assert len(parquet(opened)) == len(FIRST) * len(cold.runs)
    opened.clear()
    assert_same(cold, streamed(tmp_path / "store", tmp_path / "cache"))
    assert not parquet(opened)


def test_batches_of_any_size_in_any_order_reduce_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(tmp_path / "a", **SMALL, tables=ALL)
    write_store(tmp_path / "b", **SMALL, tables=ALL, order=1)
    whole = load(str(tmp_path / "a"))
    assert {"fans", "records/training", "probes/moment_ics", "layers/scale_invariant"} <= set(
        whole.reduced
    )
    monkeypatch.setattr(stream, "BATCH", 2)
    assert_same(whole, streamed(tmp_path / "a"))
    assert_same(whole, streamed(tmp_path / "b"))
    assert streamed(tmp_path / "a").records == {}


def test_reductions_say_what_the_records_say(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    study = load(str(tmp_path))
    training = study.records["training"]
    kept = study.reduced["records/training"]
    assert len(kept) <= len(training)
    for cell, rows in training.groupby("cell_id", observed=True):
        own = kept[kept["cell_id"] == cell]
        for level in rows["smooth_loss"].dropna():
            first = rows.loc[rows["smooth_loss"] <= level, "step"].min()
            assert own.loc[own["smooth_loss"] <= level, "step"].min() == first
        last = own["smooth_loss"].dropna().iloc[-1]
        assert last == rows["smooth_loss"].dropna().iloc[-1]


def test_a_changed_cell_alone_is_read_again(tmp_path: Path, opened: Counter[str]) -> None:
    write_store(tmp_path / "store", **SMALL)
    store = Store(str(tmp_path / "store"))
    before = streamed(tmp_path / "store", tmp_path / "cache")
    cell = str(before.runs["cell_id"].iloc[0])
    result = store.result(cell)
    tables = {name: store.records(result, name) for name in FIRST}
    known = {name: table for name, table in tables.items() if table is not None}
    known["gradient_ics"] = doubled(known["gradient_ics"], "relative")
    store.write_result(result, known)
    opened.clear()
    after = streamed(tmp_path / "store", tmp_path / "cache")
    assert {path.split("/")[1] for path in parquet(opened)} == {cell}
    assert_same(after, load(str(tmp_path / "store")))
    old, new = (study.reduced["probes/gradient_ics"] for study in (before, after))
    assert (new["relative"] / old["relative"]).where(old["cell_id"] == cell).dropna().eq(2).all()


def doubled(table: pa.Table, name: str) -> pa.Table:
    place = table.column_names.index(name)
    values = pa.array(2 * table.column(name).to_numpy())
    return table.set_column(place, name, values)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other reader", "no json"])
def test_a_damaged_or_stale_cache_is_made_anew(
    tmp_path: Path, damage: str, opened: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(tmp_path / "store", **SMALL)
    cache = tmp_path / "cache"
    good = streamed(tmp_path / "store", cache)
    [path] = cache.glob("*.zip")
    data = path.read_bytes()
    flipped = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]
    changed = {"cut": data[: len(data) // 2], "flipped": flipped, "empty": b""}
    path.write_bytes(changed.get(damage, b"{\n" if damage == "no json" else data))
    if damage == "other reader":
        monkeypatch.setattr(cache_file, "reader", lambda: "later")
    opened.clear()
    assert_same(good, streamed(tmp_path / "store", cache))
    assert parquet(opened)
    opened.clear()
    assert_same(good, streamed(tmp_path / "store", cache))
    assert not parquet(opened)


def test_a_damaged_cell_is_named_each_time_and_strict_reads_all(tmp_path: Path) -> None:
    write_store(tmp_path / "store", **SMALL)
    streamed(tmp_path / "store", tmp_path / "cache")
    file = next((tmp_path / "store/cells").glob("*/training.parquet"))
    file.write_bytes(b"damaged")
    for _ in range(2):
        assert "training.parquet" in streamed(tmp_path / "store").problems[0]
    with pytest.raises(ValueError, match=r"training\.parquet"):
        load(str(tmp_path / "store"), records=False, cache=tmp_path / "cache", strict=True)


def test_cells_of_an_old_schema_are_one_line(tmp_path: Path) -> None:
    write_store(tmp_path, **SMALL)
    results = sorted((tmp_path / "cells").glob("*/result.json"))
    for path in results[:4]:
        path.write_text(path.read_text().replace('"schema": ', '"schema": 9', 1))
    [line] = load(str(tmp_path)).problems
    assert str(results[0].parent.name) in line
    assert line.endswith("(and 3 more cells so)")


@pytest.mark.slow
def test_reports_cold_cached_and_half_cached_are_the_same_bytes(
    undrawn: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BATCH", 2)
    write_store(tmp_path / "store", **{**SMALL, "normalizers": ["none", "batch"]})
    command = ["--storage", str(tmp_path / "store"), "--tracking", "none", "--out"]
    assert main([*command, str(tmp_path / "out")]) == 0
    cold = contents(tmp_path / "out")
    shards = sorted((tmp_path / "out.cache").glob("*.zip"))
    assert len(shards) == 2
    for damaged in ([], shards[:1]):
        for path in damaged:
            path.write_bytes(path.read_bytes()[:-1])
        (tmp_path / "out.cache/report.json").unlink()
        assert main([*command, str(tmp_path / "out")]) == 0
        assert contents(tmp_path / "out") == cold


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_no_reduction_of_nothing(tmp_path: Path) -> None:
    runs = pd.DataFrame({"cell_id": [], "steps": [], "diverged_step": []})
    reduced = summaries.reduce_records(summaries.smoothed({}, runs), runs)
    assert all(frame.empty for frame in reduced.values())
