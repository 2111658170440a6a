"""Several trials of one cell that write at once."""

from __future__ import annotations

import threading

import pytest

from pipeline.store.store import Store
from tests.pipeline.store.conftest import failure, is_valid, result, tables


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
