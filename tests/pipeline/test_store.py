"""Results on disk and in object storage: whole or not at all, checked when read, never outside."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.store import SCHEMA, Standing, Store, StoreError

ODD = "ein Ordner – größer (1) [a] 100%"
"""A folder's name with spaces, unicode, and what globs and URLs give a meaning to."""


@pytest.fixture(params=["local", "odd", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param != "memory":
        yield Store(str(tmp_path / ("results" if request.param == "local" else ODD)))
        return
    yield Store("memory://bucket/results")
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def result(cell_id: str = "aa", **changes: Any) -> dict[str, Any]:
    return {"schema": SCHEMA, "cell_id": cell_id, "status": "ok", **changes}


def tables(loss: float = 1.5) -> dict[str, pa.Table]:
    words = pa.array(["a", "b"]).dictionary_encode()
    return {
        "training": pa.table({"step": [0, 1], "train_loss": [loss, None]}),
        "gradient_ics": pa.table({"step": [0, 0], "layer": words}),
    }


def failure(cell_id: str = "aa") -> dict[str, Any]:
    return {"schema": SCHEMA, "cell_id": cell_id, "error": "ValueError: größer"}


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_cell_comes_back_as_written(store: Store) -> None:
    written = store.write_result(result(), tables())
    assert store.result("aa") == written
    assert {n: f["rows"] for n, f in written["records"].items()} == {
        "training.parquet": 2,
        "gradient_ics.parquet": 2,
    }
    assert store.finished() == {"aa"}
    assert Store(store.uri).finished() == {"aa"}
    for name, table in tables().items():
        found = store.records(written, name)
        assert found is not None
        assert found.to_pydict() == table.to_pydict()
        assert found.schema.types == table.schema.types
    assert store.records(written, "landscape") is None
    assert set(store.files(written)) == {*written["records"], "result.json"}


def test_parquet_carries_the_schema_and_keeps_dictionaries(local: Store, tmp_path: Path) -> None:
    local.write_result(result(), tables())
    schema = pyarrow.parquet.read_schema(tmp_path / "cells/aa/gradient_ics.parquet")
    assert schema.metadata[b"normscope_schema"] == str(SCHEMA).encode()
    assert pa.types.is_dictionary(schema.field("layer").type)


def test_a_plan_comes_back_as_written(store: Store) -> None:
    assert store.plans() == []
    plan = {"schema": SCHEMA, "name": "small-1", "description": "größer", "cells": ["aa"]}
    store.write_plan(plan)
    store.write_plan({**plan, "name": "another"})
    assert store.plan("small-1") == plan == json.loads(store.plan_bytes("small-1"))
    assert store.plans() == ["another", "small-1"]


def test_a_failure_is_of_an_unfinished_cell_and_goes_with_its_result(store: Store) -> None:
    assert store.finished() == store.failed() == set()
    store.write_failure(failure("aa"))
    store.write_failure(failure("bb"))
    assert store.failed() == {"aa", "bb"}
    assert store.failure("aa") == failure("aa") == json.loads(store.failure_bytes("aa"))
    store.write_result(result("aa"), tables())
    assert (store.finished(), store.failed()) == ({"aa"}, {"bb"})
    with pytest.raises(StoreError, match=r"aa/failure\.json: no such file in the store"):
        store.failure("aa")
    store.write_failure(failure("aa"))
    assert (store.finished(), store.failed()) == ({"aa"}, {"bb"})


def test_how_cells_stand_is_one_of_each(store: Store) -> None:
    store.write_lost(failure("aa"))
    store.write_failure(failure("bb"))
    store.write_lost(failure("bb"))
    store.write_lost(failure("cc"))
    store.write_failure(failure("cc"))
    store.keep("cc", "checkpoint.npz", b"half way")
    assert store.standing() == Standing(set(), {"bb", "cc"}, {"aa"})
    store.write_result(result("cc"), tables())
    assert store.standing() == Standing({"cc"}, {"bb"}, {"aa"})
    assert store.kept("cc", "checkpoint.npz") is None
    assert (store.has_result("cc"), store.has_result("aa")) == (True, False)
    store.reopen("bb")
    store.reopen("cc")
    assert store.standing() == Standing(set(), set(), {"aa"})


# Kills and faults ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["training.parquet", "gradient_ics.parquet", "result.json"])
@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_a_write_that_stops_leaves_the_cell_unfinished(
    ending: str, moment: str, local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    write = local._write
    real = {"fsync": os.fsync, "replace": os.replace}

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    def stopping(path: str, data: bytes) -> None:
        if not path.endswith(ending):
            return write(path, data)
        if moment == "write":
            raise KeyboardInterrupt
        monkeypatch.setattr(os, moment, stop)
        return write(path, data)

    monkeypatch.setattr(local, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        local.write_result(result(), tables())
    assert local.finished() == set()
    whole = {f"cells/aa/{name}" for name in ("training.parquet", "gradient_ics.parquet")}
    assert files(tmp_path) <= whole
    for name, function in real.items():
        monkeypatch.setattr(os, name, function)
    monkeypatch.setattr(local, "_write", write)
    written = local.write_result(result(), tables())
    assert local.finished() == {"aa"}
    assert local.files(written)


@pytest.mark.parametrize("ending", ["training.parquet", "gradient_ics.parquet", "result.json"])
def test_a_rerun_of_a_finished_cell_that_stops_leaves_nothing_between(
    ending: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_result(result(), tables(1.5))
    write = store._write

    def stopping(path: str, data: bytes) -> None:
        if path.endswith(ending):
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(store, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        store.write_result(result(number=2), tables(2.5))
    assert store.finished() == set() or is_valid(store)


def test_a_disk_that_does_not_keep_what_is_written_is_noticed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store._write

    def forgetful(path: str, data: bytes) -> None:
        write(path, data if path.endswith(".json") else data[:-1])

    monkeypatch.setattr(store, "_write", forgetful)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(StoreError, match=r"cells/aa: what is written does not stay"):
        store.write_result(result(), tables())


def test_what_a_killed_process_left_is_not_read(local: Store, tmp_path: Path) -> None:
    local.write_plan({"schema": SCHEMA, "name": "small", "cells": []})
    local.write_result(result("aa"), tables())
    left = tmp_path / "cells/bb"
    left.mkdir()
    (left / "result.json.0123.partial").write_text("{")
    (tmp_path / "sweeps/other.json.0123.partial").write_text("{")
    assert (local.finished(), local.plans()) == ({"aa"}, ["small"])


def test_a_value_that_is_no_number_is_refused(local: Store) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        local.write_result(result(summary={"loss": float("nan")}), tables())
    assert local.finished() == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: data + b" ",
    ],
)
def test_a_changed_record_file_is_named(
    change: Callable[[bytes], bytes], local: Store, tmp_path: Path
) -> None:
    written = local.write_result(result(), tables())
    path = tmp_path / "cells/aa/training.parquet"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(StoreError, match=r"cells/aa/training\.parquet: .*digest"):
        local.records(written, "training")
    with pytest.raises(StoreError, match=r"cells/aa/training\.parquet: .*digest"):
        local.files(written)
    assert local.records(written, "gradient_ics") is not None


def test_a_missing_file_is_named(store: Store) -> None:
    written = store.write_result(result(), tables())
    store._remove("cells/aa/training.parquet")
    with pytest.raises(StoreError, match=r"cells/aa/training\.parquet: no such file"):
        store.records(written, "training")
    for read, name in ((store.result, "bb/result"), (store.plan, "bb"), (store.failure, "aa/fail")):
        with pytest.raises(StoreError, match=rf"{name}.*: no such file in the store"):
            read(name.partition("/")[0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged, not JSON"),
        (b'{"schema": 1, "cell', "damaged, not JSON"),
        (b"\xff\xfe", "damaged, not JSON"),
        (b'{"schema": 99}', "schema 99, this version reads 2"),
        (b'{"cell_id": "aa"}', "schema None"),
        (b"[1]", "schema None"),
        (b"null", "schema None"),
    ],
)
def test_a_damaged_result_is_named(content: bytes, said: str, store: Store) -> None:
    store.write_file("cells/aa/result.json", content)
    with pytest.raises(StoreError, match=rf"cells/aa/result\.json: {said}"):
        store.result("aa")


# Names and places ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "", "/etc/x", "a/b", "a\\b", "A", "a b", "a\n", ".hidden", "x" * 65]
)
def test_a_name_that_could_leave_the_store_is_refused(
    name: str, local: Store, tmp_path: Path
) -> None:
    plan = {"schema": SCHEMA, "name": name}
    attempts: list[Callable[[], Any]] = [
        lambda: local.write_plan(plan),
        lambda: local.plan(name),
        lambda: local.plan_bytes(name),
        lambda: local.write_result(result(name), tables()),
        lambda: local.write_result(result(), {name: tables()["training"]}),
        lambda: local.write_failure(failure(name)),
        lambda: local.result(name),
        lambda: local.failure(name),
        lambda: local.lost(name),
        lambda: local.has_result(name),
        lambda: local.keep(name, "log.txt", b""),
        lambda: local.drop(name, "log.txt"),
        lambda: local.reopen(name),
        lambda: local.write_lease(name, {}),
        lambda: local.drop_lease(name),
        lambda: local.write_mirrored(name, ""),
        lambda: local.write_file(f"cells/../{name}/result.json", b""),
    ]
    if "/" not in name:
        attempts.append(lambda: local.write_file(name, b""))
    for attempt in attempts:
        with pytest.raises(StoreError, match="not a name in a store"):
            attempt()
    assert files(tmp_path) == set()


def test_a_result_that_names_files_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    store = Store(str(tmp_path / "results"))
    hostile = result(records={"../../../secret": {}, "../../../secret.parquet": {}})
    store.write_file("cells/aa/result.json", json.dumps(hostile).encode())
    for read in (store.files, lambda found: store.records(found, "../../../secret")):
        with pytest.raises(StoreError, match="not a name in a store"):
            read(store.result("aa"))


def test_a_relative_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("results")
    monkeypatch.chdir("/")
    store.write_result(result(), tables())
    assert store.uri == str(tmp_path / "results")
    assert (tmp_path / "results/cells/aa/result.json").exists()


def test_a_remote_root_stays_a_uri() -> None:
    assert Store("memory://bucket/results/").uri.rstrip("/") == "memory://bucket/results"


@pytest.mark.parametrize("root", ["nonsense://bucket/x", "s4://x"])
def test_an_unknown_kind_of_place_is_refused(root: str) -> None:
    with pytest.raises(StoreError, match=f"{root}: not a place for a store"):
        Store(root)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file"))
    assert store.finished() == set()
    with pytest.raises(StoreError, match=r"file/cells/aa/failure\.json: cannot be written"):
        store.write_failure(failure())


# Several writers ----------------------------------------------------------------------------------


def is_valid(store: Store, cell_id: str = "aa") -> bool:
    written = store.result(cell_id)
    tables = [store.records(written, name.removesuffix(".parquet")) for name in written["records"]]
    return len(tables) == 2 and None not in tables


@pytest.mark.parametrize("moment", ["training.parquet", "gradient_ics.parquet", "result.json"])
def test_a_second_trial_of_a_cell_between_two_files_of_the_first(
    moment: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another kind of device its numbers differ in the last digits, and so do its files."""
    other, write, pending = Store(store.uri), store._write, [moment]

    def interrupted(path: str, data: bytes) -> None:
        if pending and path.endswith(pending[0]):
            pending.clear()
            other.write_result(result(number=2), tables(2.5))
        write(path, data)

    monkeypatch.setattr(store, "_write", interrupted)
    store.write_result(result(), tables(1.5))
    assert is_valid(store)


def test_many_trials_of_a_cell_at_once(store: Store) -> None:
    begin = threading.Barrier(4)
    raised: list[BaseException] = []

    def work(number: int) -> None:
        own = Store(store.uri)
        begin.wait()
        try:
            for turn in range(5):
                own.write_failure(failure())
                own.write_result(result(number=number), tables(number + turn))
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert is_valid(store)
    assert (store.finished(), store.failed()) == ({"aa"}, set())


def test_a_table_is_its_bytes(local: Store) -> None:
    """The same numbers make the same file, so that digests of two trials can be compared."""
    first, again = (local.write_result(result(c), tables())["records"] for c in ("aa", "bb"))
    assert first == again
    data = local.files(local.result("aa"))["training.parquet"]
    assert (
        pyarrow.parquet.read_table(io.BytesIO(data)).to_pydict() == tables()["training"].to_pydict()
    )
